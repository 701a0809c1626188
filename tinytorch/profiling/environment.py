"""What a measurement depends on beside its code: processor, clock, load, libraries; and what is doubtful."""

from __future__ import annotations

import os
import platform
import sys
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from threadpoolctl import ThreadpoolController

from tinytorch.profiling.hardware import machine
from tinytorch.threads import get_num_threads

UNKNOWN = "unknown"
_STEADY = ("performance", "userspace", UNKNOWN)  # governors that leave the clock where it is


@dataclass(frozen=True)
class Environment:
    """Where and when figures were measured; "unknown" for what the system does not tell.

    `cores`: those this process may use, which `affinity` lists; `load`: of the last minute, all processes;
    `threads`: what `tinytorch.set_num_threads` set; `blas_threads`: what each BLAS uses. `warnings`: what
    makes a reading doubtful, a sentence each.
    """

    date: str
    processor: str
    cores: int
    affinity: str
    governor: str
    turbo: str
    virtual: str
    load: str
    blas: str
    blas_threads: str
    threads: int
    system: str
    python: str
    numpy: str
    tinytorch: str
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, str]:
        """All but the warnings, as text.

        >>> describe().as_dict()["python"] == describe().python
        True
        """
        names = [field.name for field in fields(self) if field.name != "warnings"]
        return {name: str(getattr(self, name)) for name in names}


def describe(root: Path = Path("/")) -> Environment:
    """The surroundings of this process here and now; `root` is where /proc and /sys are.

    >>> describe().cores >= 1
    True
    """
    allowed = _allowed()
    pools = [pool for pool in ThreadpoolController().info() if pool["user_api"] == "blas"]
    governor, turbo, virtual = _governor(root, allowed), _turbo(root), _virtual(root)
    load, threads = _load(root), get_num_threads()
    return Environment(
        date=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        processor=machine.processor(),
        cores=machine.cores(),
        affinity=spans(allowed) if allowed else UNKNOWN,
        governor=governor,
        turbo=turbo,
        virtual=virtual,
        load=UNKNOWN if load is None else f"{load:.2f}",
        blas=_listed(f"{pool['internal_api']} {pool.get('version') or ''}".strip() for pool in pools),
        blas_threads=_listed(str(pool["num_threads"]) for pool in pools),
        threads=threads,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        numpy=np.__version__,
        tinytorch=version("tinytorch-lab"),
        warnings=(
            *_about_load(load, os.cpu_count() or 1),
            *_about_clock(governor, turbo, virtual),
            *_about_threads(max((int(pool["num_threads"]) for pool in pools), default=0), machine.cores()),
            *_about_quota(_quota(root), machine.cores()),
            *_about_watchers(),
        ),
    )


def stolen(root: Path = Path("/")) -> float | None:
    """Seconds that a hypervisor took from all processors since the system started; None if it is not told.

    >>> stolen(Path("no such folder")) is None
    True
    """
    first = _read(root / "proc/stat").partition("\n")[0].split()
    if len(first) < 9 or first[0] != "cpu" or not first[8].isdecimal():
        return None
    return int(first[8]) / os.sysconf("SC_CLK_TCK")


def spans(numbers: list[int]) -> str:
    """Numbers as a list of spans, as Linux writes processors.

    >>> spans([0, 1, 2, 3, 8])
    '0-3,8'
    """
    ends: list[list[int]] = []
    for number in sorted(numbers):
        if ends and number == ends[-1][1] + 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ends)


# ---------------------------------------------------------------- what is doubtful


def _about_watchers() -> list[str]:
    """What this process runs beside the code that is measured, and that slows it."""
    found = {
        "tracemalloc": tracemalloc.is_tracing(),
        "a trace function (a debugger, or coverage)": sys.gettrace() is not None,
        "a profile function": sys.getprofile() is not None,
    }
    return [f"{what} is active: it slows Python several times over" for what, on in found.items() if on]


def _about_load(load: float | None, processors: int) -> list[str]:
    if load is None or load <= processors:
        return []
    return [
        f"load {load:.2f} on {processors} processors: others take turns with what is measured; "
        "wait until they are done"
    ]


def _about_clock(governor: str, turbo: str, virtual: str) -> list[str]:
    found = []
    if any(name not in _STEADY for name in governor.split(", ")):
        found.append(
            f"governor {governor}: the clock follows the load, so short measurements run slower; "
            "set it with `cpupower frequency-set -g performance`"
        )
    if turbo == "on":
        found.append("turbo is on: the clock depends on heat and on what other cores do")
    if virtual == "yes":
        found.append("a virtual machine: its host may run others on the same cores, unseen from here")
    return found


def _about_threads(threads: int, cores: int) -> list[str]:
    if threads <= cores:
        return []
    return [
        f"BLAS uses {threads} threads on {cores} core{'s' if cores != 1 else ''}: they wait for each other; "
        f"call tinytorch.set_num_threads({cores})"
    ]


def _about_quota(quota: float | None, cores: int) -> list[str]:
    if quota is None or quota >= cores:
        return []
    return [
        f"a quota of {quota:g} of {cores} cores: the system stops this process for some milliseconds "
        "whenever it is used up"
    ]


# ---------------------------------------------------------------- what the system tells


def _read(path: Path) -> str:
    """The text of a file; "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _allowed() -> list[int]:
    """The processors that this process may use; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if platform.system() == "Linux" else []


def _listed(found: Iterable[str]) -> str:
    return ", ".join(sorted({text for text in found if text})) or UNKNOWN


def _governor(root: Path, allowed: list[int]) -> str:
    folder = root / "sys/devices/system/cpu"
    return _listed(_read(folder / f"cpu{i}/cpufreq/scaling_governor") for i in allowed)


def _turbo(root: Path) -> str:
    folder = root / "sys/devices/system/cpu"
    off = _read(folder / "intel_pstate/no_turbo")
    on = {"0": "1", "1": "0"}.get(off) or _read(folder / "cpufreq/boost")
    return {"0": "off", "1": "on"}.get(on, UNKNOWN)


def _virtual(root: Path) -> str:
    """Whether the processor says that a hypervisor is below; only x86 has the flag."""
    for line in _read(root / "proc/cpuinfo").splitlines():
        name, _, flags = line.partition(":")
        if name.strip() == "flags":
            return "yes" if "hypervisor" in flags.split() else "no"
    return UNKNOWN


def _load(root: Path) -> float | None:
    try:
        return float(_read(root / "proc/loadavg").split(" ")[0])
    except ValueError:
        return None


def _quota(root: Path) -> float | None:
    """Processors' worth of time that a control group grants; None for no limit or an unknown one."""
    parts = _read(root / "sys/fs/cgroup/cpu.max").split()
    if len(parts) != 2 or not all(part.isdecimal() for part in parts) or parts[1] == "0":
        return None
    return int(parts[0]) / int(parts[1])

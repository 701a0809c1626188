"""Where and when figures were measured: processor, cores, versions, threads, date."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tinytorch.threads import get_num_threads


@dataclass(frozen=True)
class Machine:
    """Facts about a run that its figures depend on."""

    date: str
    processor: str
    cores: int
    threads: int
    blas: str
    system: str
    python: str
    numpy: str
    tinytorch: str


def describe() -> Machine:
    """The machine and the versions at work here and now.

    >>> describe().cores >= 1
    True
    """
    import numpy

    return Machine(
        date=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        processor=_processor(),
        cores=_cores(),
        threads=get_num_threads(),
        blas=_blas(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        numpy=numpy.__version__,
        tinytorch=version("tinytorch-lab"),
    )


def _cores() -> int:
    """Cores that this process may use."""
    if platform.system() == "Linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """The processor's name, as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine() or "unknown"


def _blas() -> str:
    """The libraries that multiply matrices, with their versions."""
    from threadpoolctl import ThreadpoolController

    pools = ThreadpoolController().info()
    found = {
        f"{p['internal_api']} {p.get('version') or ''}".strip() for p in pools if p["user_api"] == "blas"
    }
    return ", ".join(sorted(found)) or "unknown"

"""This machine: its processor and caches, and figures of it that are measured once and then kept."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.data.registry import data_folder
from tinytorch.training.files import write_whole


@dataclass(frozen=True)
class Cache:
    """One level of cache: its size in bytes, and how many processors share one of it."""

    level: str
    size: int
    sharers: int


DEFAULT_CACHES = (Cache("L1", 32 * 2**10, 1), Cache("L2", 512 * 2**10, 1), Cache("L3", 16 * 2**20, 4))


def caches(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> tuple[Cache, ...]:
    """The data caches of a processor, nearest first, as Linux lists them; common sizes elsewhere.

    >>> caches()[0].level
    'L1'
    """
    found = []
    try:
        for index in sorted(folder.glob("index[0-9]*")):
            texts = {n: (index / n).read_text().strip() for n in ("type", "level", "size", "shared_cpu_list")}
            if texts["type"] in ("Data", "Unified"):
                level, sharers = f"L{int(texts['level'])}", _count(texts["shared_cpu_list"])
                found.append(Cache(level, _bytes(texts["size"]), sharers))
    except (OSError, ValueError):
        return DEFAULT_CACHES
    grow = all(inner.size < outer.size for inner, outer in pairwise(found))
    return tuple(found) if found and grow else DEFAULT_CACHES


def cores() -> int:
    """Processors that this process may use.

    >>> cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if platform.system() == "Linux" else os.cpu_count() or 1


def processor() -> str:
    """The processor's name, as the system gives it.

    >>> bool(processor())
    True
    """
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "CPU part"):
                return value.strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine() or "unknown"


def can_compile() -> bool:
    """Whether llvmlite is here, which compiles the loops that measure roofs."""
    return importlib.util.find_spec("llvmlite") is not None


# ---------------------------------------------------------------- figures that are kept


def key_of(threads: int, code: Iterable[Path]) -> dict[str, str]:
    """What figures depend on: processor, caches, cores, threads, versions, and the code behind them."""
    digest = hashlib.sha256()
    for path in sorted(code):
        digest.update(path.read_bytes())
    return {
        "processor": processor(),
        "caches": ", ".join(f"{cache.level} {cache.size}" for cache in caches()),
        "cores": str(cores()),
        "threads": str(threads),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "llvmlite": version("llvmlite") if can_compile() else "none",
        "code": digest.hexdigest()[:16],
    }


def kept_file(what: str, key: Mapping[str, str]) -> Path:
    """Where figures with this key are kept: beside the data sets in the user's cache folder."""
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return data_folder() / "machine" / f"{what}-{name}.json"


def keep(what: str, key: Mapping[str, str], figures: Mapping[str, Any]) -> None:
    """Keep figures under their key, whole or not at all; raises CheckpointError where that cannot be."""
    content = json.dumps({"key": key, "figures": figures}, indent=1)
    write_whole(kept_file(what, key), content.encode())


def read_kept(what: str, key: Mapping[str, str]) -> dict[str, Any] | None:
    """The figures kept under a key; None where there are none, or the file is damaged."""
    try:
        found = json.loads(kept_file(what, key).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("key") != key:
        return None
    figures = found.get("figures")
    return figures if isinstance(figures, dict) else None


def _bytes(text: str) -> int:
    """Bytes in a size such as 32K or 8M."""
    power = "KMG".find(text[-1:]) + 1 if text else 0
    return int(text[:-1] if power else text) << 10 * power


def _count(text: str) -> int:
    """Processors in a list such as 0-3,8."""
    spans = [part.split("-") for part in text.split(",")]
    return sum(int(span[-1]) - int(span[0]) + 1 for span in spans)

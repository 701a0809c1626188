"""Which way of computing a product is fastest on this machine: measured once for each, and kept."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from llvmlite import ir

from tinytorch.acceleration import cache
from tinytorch.acceleration.native.engine import Code, entry, object_file
from tinytorch.acceleration.native.kernels.gemm import Gemm
from tinytorch.acceleration.native.layout import operands
from tinytorch.acceleration.native.lower import Lowered
from tinytorch.acceleration.native.module import Functions
from tinytorch.acceleration.native.place import Place
from tinytorch.ops.spec import Array

VARIABLE = "TINYTORCH_CHOICES"
"""Environment variable: `fixed` takes the plan that the sizes speak for, and measures nothing."""
WORTH = 1_000_000
"""FLOPs from which a product is measured: below, the ways in and out hide what differs."""
ROUNDS, ROUND_SECONDS = 7, 2e-3
GAIN = 0.95
"""What another plan must take, of the time of the expected one, to be chosen: less may be chance."""

_lock = threading.Lock()
_known: dict[str, dict[str, str]] = {}


def choose(lowered: Lowered, threads: int) -> None:
    """Give each large product of a program the plan that is fastest here, for so many threads.

    What is not known yet is measured, on random numbers, and kept beside the programs in the cache.
    """
    if os.environ.get(VARIABLE) == "fixed":
        return
    for step in lowered.steps:
        if isinstance(step, Gemm) and step.flops >= WORTH and _measurable(step):
            plans = tuple(plan for plan in step.plans() if threads == 1 or plan != "blas")
            if len(plans) > 1:
                step.plan = _choice(step, plans, threads)


def _measurable(kernel: Gemm) -> bool:
    """Whether all elements lie behind the first one."""
    return all(stride >= 0 for place in operands(kernel) for stride in place.strides)


def _choice(kernel: Gemm, plans: tuple[str, ...], threads: int) -> str:
    """The plan kept for a product, or one found now."""
    key = hashlib.sha256(repr((kernel.signature()[2:], plans, threads > 1)).encode()).hexdigest()[:32]
    with _lock:
        known = _read()
        if known.get(key) not in plans:
            known[key] = fastest(seconds(kernel, plans))
            _write(known)
        return known[key]


def fastest(times: dict[str, float]) -> str:
    """The first plan, or the best of the others where it gains enough to be no chance.

    >>> fastest({"pack": 10.0, "direct": 9.9}), fastest({"pack": 10.0, "direct": 8.0})
    ('pack', 'direct')
    """
    expected = next(iter(times))
    best = min(times, key=lambda plan: times[plan])
    return best if times[best] < GAIN * times[expected] else expected


# ---------------------------------------------------------------- measuring


def seconds(kernel: Gemm, plans: tuple[str, ...]) -> dict[str, float]:
    """Seconds of a run of each plan: the least of some rounds, in which they take turns."""
    ways = {plan: kernel.planned(plan) for plan in plans}
    code = Code(object_file(_module(ways)))
    arrays = [_filled(place) for place in operands(kernel)]
    arrays.append(np.zeros(max(way.scratch for way in ways.values()) + 64, np.uint8))
    runs = {plan: code.function(plan) for plan in plans}
    repeats = {plan: max(1, int(ROUND_SECONDS / _timed(run, 1, arrays))) for plan, run in runs.items()}
    best = dict.fromkeys(plans, float("inf"))
    for _ in range(ROUNDS):
        for plan, run in runs.items():
            best[plan] = min(best[plan], _timed(run, repeats[plan], arrays))
    return best


def _timed(run: Callable[..., object], repeats: int, arrays: list[Array]) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run(*arrays)
    return (time.perf_counter() - start) / repeats


def _module(ways: Mapping[str, Gemm]) -> Any:
    """A module with a function of (reads, writes, working memory) for each plan."""
    module = ir.Module("choices")
    functions = Functions(module, threaded=False)
    for plan, kernel in ways.items():
        builder, addresses, end = entry(module, plan, len(operands(kernel)) + 1)
        builder.call(functions.of(kernel), addresses if kernel.scratch else addresses[:-1])
        end()
    return module


def _filled(place: Place) -> Array:
    """Memory that holds all elements of a place, filled with numbers between 0 and 1."""
    reach = sum((n - 1) * abs(stride) for n, stride in zip(place.shape, place.strides, strict=True))
    return np.random.default_rng(reach).random(reach + 16).astype(place.dtype)


# ---------------------------------------------------------------- kept


def _read() -> dict[str, str]:
    """What this process knows; before it knows anything, what is kept."""
    folder = str(cache.cache_folder())
    if folder not in _known:
        _known[folder] = _kept()
    return _known[folder]


def _kept() -> dict[str, str]:
    """What is kept for this compiler and CPU; nothing where there is no file, or a damaged one."""
    try:
        found = json.loads((cache.cache_folder() / cache.CHOICES).read_text(encoding="utf-8"))
        plans = found["plans"] if found["made by"] == cache.compiler_version() else {}
        return {str(key): str(plan) for key, plan in plans.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(known: dict[str, str]) -> None:
    """Keep all choices, with those that other processes have made meanwhile."""
    known.update({key: plan for key, plan in _kept().items() if key not in known})
    content = {"made by": cache.compiler_version(), "plans": known}
    cache.keep(cache.CHOICES, json.dumps(content, indent=1).encode())

"""Profiling: where time, memory and work of a model or any callable go, with intervals."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinytorch.profiling.context import ProfilerContext, profile_model
    from tinytorch.profiling.counting.flops import FLOPCounter, FLOPs
    from tinytorch.profiling.hardware.roofline import measure_roof
    from tinytorch.profiling.memory.profiler import MemoryProfiler
    from tinytorch.profiling.profile import MemoryUse, Profile
    from tinytorch.profiling.statistics import Estimate
    from tinytorch.profiling.timing.compare import compare
    from tinytorch.profiling.timing.comparison import Comparison
    from tinytorch.profiling.timing.stats import Stats
    from tinytorch.profiling.timing.timer import Timer
    from tinytorch.profiling.trace import filed_under

__all__ = [
    "Comparison",
    "Estimate",
    "FLOPCounter",
    "FLOPs",
    "MemoryProfiler",
    "MemoryUse",
    "Profile",
    "ProfilerContext",
    "Stats",
    "Timer",
    "compare",
    "filed_under",
    "measure_roof",
    "profile_model",
]

_PLACES = {
    "Comparison": "timing.comparison",
    "Estimate": "statistics",
    "FLOPCounter": "counting.flops",
    "FLOPs": "counting.flops",
    "MemoryProfiler": "memory.profiler",
    "MemoryUse": "profile",
    "Profile": "profile",
    "ProfilerContext": "context",
    "Stats": "timing.stats",
    "Timer": "timing.timer",
    "compare": "timing.compare",
    "filed_under": "trace",
    "measure_roof": "hardware.roofline",
    "profile_model": "context",
}


def __getattr__(name: str) -> Any:
    """Each is imported when it is first asked for: a process that is measured needs one file of these."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = found
    return found

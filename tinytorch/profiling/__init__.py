"""Profiling: where time, memory and work of a model or any callable go, with intervals."""

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

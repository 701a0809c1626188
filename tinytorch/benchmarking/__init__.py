"""TinyMLPerf: three events in which models are measured, ranked, and held to their word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinytorch.benchmarking.competition import Benchmark, Competition, Submission, TinyMLPerf

__all__ = ["Benchmark", "Competition", "Submission", "TinyMLPerf"]


def __getattr__(name: str) -> Any:
    """The names above when they are first asked for: boxes import parts of this package, and start fast."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tinytorch.benchmarking import competition

    return getattr(competition, name)

"""Results and comparisons as a measurement would leave them, and stores to put them in."""

from __future__ import annotations

import math

from tinytorch.benchmarking.ratio import EXACT, Ratio
from tinytorch.benchmarking.result import (
    Comparison,
    Figures,
    Interval,
    Machine,
    Ratios,
    Result,
    Rounds,
    Technique,
    digest,
)

HERE = Machine("f" * 16, "a processor", 2, "Linux", "3.11", "2.4", "0.1")


def program(name: str) -> bytes:
    return f"program {name}".encode() * 20


def result(
    name: str,
    overall: float = 1.0,
    *,
    team: str = "",
    valid: bool = True,
    error: float = 0.01,
    **changes: object,
) -> Result:
    """A result of the program `name`, whose overall ratio is as given."""
    log = math.log(overall)
    some, counted = Ratio(log, error, 5.0), Ratio(log, 0.0, EXACT)
    figures = Figures(
        {"classify p50": Interval(1e-5, 0.9e-5, 1.1e-5)}, Interval(1e5), 100, 200, 50, 300, 20, 1.0, 0.9, 0.8
    )
    given = {
        "event": "mlp_sprint",
        "division": "open",
        "team": team or f"team {name}",
        "description": f"entry {name}",
        "entry": digest(program(name)),
        "baseline": "b" * 64,
        "runner": "c" * 64,
        "seed": 7,
        "valid": valid,
        "published": valid,
        "reasons": () if valid else ("gate: too little",),
        "labels": ("local, unverified",),
        "figures": figures if valid else None,
        "base": figures if valid else None,
        "ratios": Ratios(some, some, some, counted, counted, some, some) if valid else None,
        "control": Ratio(0.0, 0.01, 5.0),
        "techniques": (Technique("pruned", "found", "60 %"),),
        "machine": HERE,
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 20.0,
        "isolation": {},
        "samples": (Rounds("classify", 0, (1e-5, 1.1e-5), (1e-5, 1e-5)),),
    }
    return Result(**{**given, **changes})  # type: ignore[arg-type]


def comparison(first: str, second: str, log: float, error: float = 0.001) -> Comparison:
    """A paired re-run: how much better `first` is than `second`."""
    ratios = {board: Ratio(log, error, 5.0) for board in ("overall", "speed")}
    ratios |= {board: Ratio(log, 0.0, EXACT) for board in ("memory", "size")}
    return Comparison(
        "mlp_sprint",
        "open",
        digest(program(first)),
        digest(program(second)),
        ratios,  # type: ignore[arg-type]
        HERE,
        "c" * 64,
        7,
        "2026-01-01T00:00:00+00:00",
    )

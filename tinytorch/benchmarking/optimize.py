"""An entry for those who have none yet: recipes for each event and aim, the boldest that passes its gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tinytorch import console
from tinytorch.acceleration.graph import Graph
from tinytorch.benchmarking.events import Event, baseline_model, canonical, program_for
from tinytorch.benchmarking.recipe import Kitchen, made, steps_of
from tinytorch.errors import BenchmarkError
from tinytorch.nn.module import Module
from tinytorch.quantization.samples import figures_of

Aim = Literal["speed", "size", "overall"]
MARGIN = 0.25
"""The share of what the gate lets go that is kept in hand on validation data: test data may say less."""


def _quantized(scheme: str, prefer: str = "size", max_loss: float = 0.01) -> dict[str, Any]:
    return {"kind": "quantize", "scheme": scheme, "prefer": prefer, "max_loss": max_loss}


def _trained(epochs: int) -> dict[str, Any]:
    return {"kind": "train", "epochs": epochs, "lr": 0.001}


def _narrow(amount: float, epochs: int) -> list[dict[str, Any]]:
    return [{"kind": "shrink", "amount": amount}, _trained(epochs)]


def _sparse(share: float, epochs: int) -> list[dict[str, Any]]:
    return [{"kind": "prune", "sparsity": share}, _trained(epochs)]


_INT4, _INT8 = _quantized("int4-g128"), _quantized("int8")
_FAST8 = _quantized("int8", "speed")
RECIPES: Mapping[tuple[str, Aim], tuple[list[dict[str, Any]], ...]] = {
    ("mlp_sprint", "overall"): (
        [*_narrow(0.25, 10), *_sparse(0.6, 10), _INT4],
        [*_sparse(0.4, 10), _INT4],
        [_INT4],
    ),
    ("mlp_sprint", "speed"): ([*_narrow(0.4, 15), _INT4], [*_narrow(0.25, 10), _INT4], [_FAST8]),
    ("mlp_sprint", "size"): (
        [{"kind": "compress", "target_ratio": 40.0, "max_loss": 0.006, "codes": False}],
        [{"kind": "compress", "target_ratio": 20.0, "codes": False}],
        [_INT4],
    ),
    ("cnn_marathon", "overall"): (
        [*_narrow(0.4, 6), _quantized("mixed")],
        [*_narrow(0.25, 6), _INT8],
        [_INT8],
    ),
    ("cnn_marathon", "speed"): ([*_narrow(0.5, 8), _FAST8], [*_narrow(0.4, 6), _FAST8], [_FAST8]),
    ("cnn_marathon", "size"): (
        [{"kind": "compress", "target_ratio": 30.0, "max_loss": 0.006, "codes": False}],
        [*_narrow(0.4, 6), _quantized("mixed")],
        [_quantized("mixed")],
    ),
    ("transformer_decathlon", "overall"): ([_INT8], [_FAST8]),
    ("transformer_decathlon", "speed"): ([_FAST8],),
    ("transformer_decathlon", "size"): ([_quantized("mixed", max_loss=0.006)], [_INT8]),
}
"""Steps by event and aim, the boldest first; found by trying, see docs/tinymlperf.md."""


@dataclass(frozen=True)
class Optimized:
    """A recipe that passes the gate on validation data, what it made, and the quality kept there."""

    event: Event
    aim: Aim
    steps: list[dict[str, Any]]
    graph: Graph
    kept: float

    def description(self, team: str) -> str:
        """The TOML of a closed entry."""
        lines = [
            f'event = "{self.event.name}"',
            f'team = "{team}"',
            'division = "closed"',
            f'description = "tito optimize {self.event.name} --for {self.aim}"',
        ]
        for step in self.steps:
            lines += ["", "[[steps]]", *(f"{key} = {_toml(value)}" for key, value in step.items())]
        return "\n".join(lines) + "\n"

    @property
    def program(self) -> bytes:
        """The file of an open entry: what the recipe made."""
        return canonical(self.graph)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def optimize(event: Event, aim: Aim = "overall") -> Optimized:
    """The boldest recipe for an aim whose model passes the event's gate on validation data.

    Test data is not looked at. Raises BenchmarkError for an unknown aim, and where no recipe passes.
    """
    if (event.name, aim) not in RECIPES:
        raise BenchmarkError(f"optimize: there is no aim {aim!r:.40}; choose speed, size or overall")
    before = _quality(event, baseline_model(event))
    for number, steps in enumerate(RECIPES[event.name, aim]):
        model = made(event, steps_of(steps))
        kept = event.kept(_quality(event, model), before)
        if kept >= least_kept(event):
            return Optimized(event, aim, steps, program_for(event, model), kept)
        console.notice(
            f"recipe {number + 1} keeps {kept:.2%} of the {event.quality}: too little, a gentler one"
        )
    raise BenchmarkError(f"optimize: no recipe for {event.name} keeps enough on this machine")


def least_kept(event: Event) -> float:
    """The share of the baseline's quality that must be left on validation data.

    >>> from tinytorch.benchmarking.events import event
    >>> round(least_kept(event("mlp_sprint")), 4)
    0.9925
    """
    allowed = 1 - (event.gate if event.kind == "images" else 1 / event.gate)
    return 1 - (1 - MARGIN) * allowed


def _quality(event: Event, model: Module) -> float:
    """Accuracy, or bits per byte, on validation data."""
    mean = float(figures_of(model, Kitchen(event).validation).mean())
    return mean if event.kind == "images" else mean / float(np.log(2))

"""What the stages of the journey share: how much to do, the run they take part in, what a stage is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from tinytorch.models.registry import Model
from tinytorch.nn.module import Module

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Scale:
    """How much work a journey does. None takes all there is."""

    name: str
    recipe: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what differs, by model
    train_images: int | None = None
    test_images: int | None = None
    text_seconds: float | None = 120.0  # of training, with validation on the way; None: the recipe's steps
    curve_points: int = 20  # how often the GPT is validated on the way
    validation_windows: int = 128
    test_bytes: int | None = None
    new_bytes: int = 400
    latency_runs: int = 400
    observed_runs: int = 20
    race_rounds: int = 40  # of eager beside compiled
    compress_epochs: int = 6  # of training on after each cut
    compress_batches: int | None = None  # in one of these epochs
    compress_sparse_text: bool = True  # try each layer of the GPT with sparse kernels


# Many small steps make the most of two minutes: on the same 614,400 bytes, steps of 16, 8 and 4 windows ended
# at 3.58, 3.42 and 3.39 bits per byte of validation text.
TEXT = {"batch": 4, "lr": 3e-3}
FULL = Scale("full", recipe={"cnn": {"epochs": 12}, "gpt": TEXT})
QUICK = Scale(
    "quick",
    test_images=2_000,
    recipe={"mlp": {"epochs": 5}, "cnn": {"epochs": 2}, "gpt": TEXT},
    text_seconds=7.0,
    curve_points=8,
    validation_windows=64,
    test_bytes=16_384,
    new_bytes=200,
    latency_runs=100,
    observed_runs=10,
    race_rounds=20,
    compress_epochs=1,
    compress_batches=110,
    compress_sparse_text=False,
)


@dataclass
class Journey:
    """One run: its settings, the models it has trained so far, and the results of its stages so far."""

    names: tuple[str, ...]
    scale: Scale = FULL
    seed: int = 0
    command: str = "tito journey"
    models: dict[str, Model] = field(default_factory=dict)
    optimised: dict[str, list[Module]] = field(default_factory=dict)  # what stages made of them, by model
    results: dict[str, dict[str, Any]] = field(default_factory=dict)


R = TypeVar("R")


class Stage(ABC, Generic[R]):
    """One station of the journey, visited by each model; its result is a dataclass that JSON can hold.

    A new stage is a subclass, an entry in `STAGES`, and a template `<name>.html.jinja` if it keeps the
    `section` it inherits.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def takes(self, journey: Journey, model: str) -> bool:
        """Whether there is anything in this stage for a model."""
        return True

    @abstractmethod
    def run(self, journey: Journey, model: str) -> R:
        """Do the work for one model; reads and adds to `journey.models`."""

    @abstractmethod
    def figures(self, result: R) -> dict[str, str]:
        """What belongs into the table at the end: a text for each column, units included."""

    def section(self, journey: Journey, results: Mapping[str, R]) -> Markup:
        """The stage's part of the page."""
        from tinytorch.journey.page import render

        return render(f"{self.name}.html.jinja", stage=self, journey=journey, results=results)

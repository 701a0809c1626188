"""Steps: what each step of a compression left of a model, in bytes three ways, and what it lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safetensors.numpy import save

from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.trace import trace
from tinytorch.autograd import no_grad
from tinytorch.compression.masks import prunable
from tinytorch.compression.prune import sparsity_of
from tinytorch.nn.module import Module
from tinytorch.profiling import words
from tinytorch.profiling.statistics import Estimate
from tinytorch.quantization.speed import Race, weight_bytes
from tinytorch.tensor import Tensor
from tinytorch.training.files import tensors_of
from tinytorch.training.metrics import evaluating

ALIKE = 1.02
"""Times the smallest file, up to which another is as good."""


@dataclass(frozen=True)
class Step:
    """A model after a step. `figure` on validation data and what it lost; `sparsity` of its weights; bytes of
    its file, of its tensors in memory, and of weights that compiled kernels read in a pass, None without
    native code; `note`: what was done.
    """

    name: str
    figure: float
    cost: float
    sparsity: float
    file: int
    resident: int
    read: int | None
    note: str = ""


@dataclass(frozen=True)
class Budget:
    """What was asked for: the file so many times smaller than float32, and at most so much lost."""

    target_ratio: float
    max_loss: float

    def holds(self, step: Step, whole: int) -> bool:
        """Whether a step is within it; whole: bytes of the float32 weights.

        >>> Budget(20, 0.005).holds(Step("", 0.9, 0.004, 0.0, 50, 0, None), 1000)
        True
        """
        return whole / step.file >= self.target_ratio and step.cost <= self.max_loss


def step_of(name: str, model: Module, x: Tensor, figure: float, cost: float, note: str = "") -> Step:
    """Measure a model after a step; x: an input as the program takes it."""
    return Step(
        name,
        figure,
        cost,
        sparsity(model),
        program_bytes(model, x),
        resident_bytes(model),
        weight_bytes(model, x),
        note,
    )


def sparsity(model: Module) -> float:
    """The share of zeros among the weights of Linear and Conv2d layers; biases do not count."""
    rows = sparsity_of(model) if prunable(model) else ()
    return sum(row.zeros for row in rows) / max(sum(row.weights for row in rows), 1)


def program_of(model: Module, x: Tensor) -> Graph:
    """The model as a program for inputs like x, which runs without its code."""
    with no_grad(), evaluating(model):
        return trace(model, (x,)).graph


def program_bytes(model: Module, x: Tensor) -> int:
    """Bytes of that program's compact file."""
    return len(as_bytes(program_of(model, x), compact=True))


def weights_bytes(model: Module) -> int:
    """Bytes of the model's tensors in an ordinary safetensors file."""
    return len(save(tensors_of(model)))


def resident_bytes(model: Module) -> int:
    """Bytes of the model's parameters and buffers in memory."""
    return sum(t.data.nbytes for _, t in (*model.named_parameters(), *model.named_buffers()))


@dataclass(frozen=True)
class Report:
    """The steps of a compression. `score`: name of the figure; `whole`: bytes of the float32 weights that
    files are compared with; `kept`: the number of the step that the result is; `race`: it beside float32.
    """

    steps: tuple[Step, ...]
    score: str
    whole: int
    budget: Budget
    kept: int
    race: Race | None = None
    test: Estimate | None = None

    @property
    def result(self) -> Step:
        """The step that was kept."""
        return self.steps[self.kept]

    @property
    def ratio(self) -> float:
        """How many times smaller the result's file is than the float32 weights."""
        return self.whole / self.result.file

    @property
    def met(self) -> bool:
        """Whether the budget holds."""
        return self.budget.holds(self.result, self.whole)

    def __repr__(self) -> str:
        head = ["step", self.score, "lost", "zeros", "file", "smaller", "resident", "read", "", "note"]
        rows = [self._row(number, step) for number, step in enumerate(self.steps)]
        first, *rest = words.columns([head, *rows], left=(0, 8, 9))
        return "\n".join([first, "-" * len(first), *rest, "", *self._words()])

    def _row(self, number: int, step: Step) -> list[str]:
        return [
            step.name,
            f"{step.figure:.4f}",
            f"{step.cost:+.4f}",
            f"{step.sparsity:.1%}",
            words.size(step.file),
            f"{self.whole / step.file:.1f}x",
            words.size(step.resident),
            "" if step.read is None else words.size(step.read),
            "kept" if number == self.kept else "",
            step.note,
        ]

    def _words(self) -> list[str]:
        asked, step = self.budget, self.result
        verdict = "met" if self.met else f"NOT met, this is the best found: {self._lacks(step)}"
        lines = [
            f"budget     {asked.target_ratio:g}x smaller, at most {asked.max_loss:g} lost: {verdict}",
            f"file       {words.size(self.whole)} of float32 weights -> {words.size(step.file)}, "
            f"{self.ratio:.1f}x smaller",
        ]
        if self.race is not None:
            first, second = (words.seconds(t.value) for t in (self.race.before, self.race.after))
            gain, word = self.race.gain, self.race.word
            interval = f"{gain.value:.2f}x [{gain.low:.2f}, {gain.high:.2f}]"
            lines.append(f"time       {first} before, {second} after, compiled: {interval}, {word}")
        return lines

    def _lacks(self, step: Step) -> str:
        asked, found = self.budget, []
        if self.whole / step.file < asked.target_ratio:
            found.append(f"{self.whole / step.file:.1f}x")
        if step.cost > asked.max_loss:
            found.append(f"{step.cost:.4f} lost")
        return " and ".join(found)


def best_of(steps: Sequence[Step], whole: int, budget: Budget) -> int:
    """The step to keep, the first one being the model as it was: the smallest that loses no more than is
    allowed, of files within ALIKE of it the one that takes least memory; else of those that are small enough
    the one that loses least; else the one that loses least.
    """
    made = range(1, len(steps)) if len(steps) > 1 else range(len(steps))
    cheap = [n for n in made if steps[n].cost <= budget.max_loss]
    if cheap:
        least = min(steps[n].file for n in cheap)
        return min((n for n in cheap if steps[n].file <= ALIKE * least), key=lambda n: steps[n].resident)
    small = [n for n in made if whole / steps[n].file >= budget.target_ratio]
    return min(small or made, key=lambda n: steps[n].cost)

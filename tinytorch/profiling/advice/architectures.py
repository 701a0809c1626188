"""Architectures side by side: time, FLOPs, bytes, memory and intensity of a pass of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinytorch.errors import ProfilingError
from tinytorch.nn.module import Module
from tinytorch.ops.context import grad_mode
from tinytorch.profiling.advice.scaling import in_turns
from tinytorch.profiling.load import Loaded
from tinytorch.profiling.memory.profiler import measure_memory
from tinytorch.profiling.profile import Roof
from tinytorch.profiling.significance import holm, paired_ratio
from tinytorch.profiling.statistics import Estimate, median
from tinytorch.profiling.subject import Subject, subject_of
from tinytorch.profiling.trace import OpCosts
from tinytorch.tensor import Tensor


@dataclass(frozen=True)
class Architecture:
    """A model's forward pass, in seconds, FLOPs (None: an op has no rule) and bytes.

    `moved`: bytes that its ops read and write; `peak`: the most memory that a pass adds; `against`: its time
    over that of the first model, with intervals that together hold with 95 % confidence; `allowed`: the
    seconds that the roof allows for its ops, if a roof is known.
    """

    name: str
    inputs: str
    batch: int
    parameters: int
    seconds: Estimate
    flops: int | None
    moved: int
    peak: int
    ops: int
    against: Estimate
    allowed: float | None = None

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte moved."""
        return self.flops / self.moved if self.moved and self.flops is not None else None

    @property
    def rate(self) -> float | None:
        """FLOP/s reached."""
        return self.flops / self.seconds.value if self.flops is not None else None


def side_by_side(models: Sequence[Loaded], rounds: int = 30, roof: Roof | None = None) -> list[Architecture]:
    """Measure a forward pass of each model: time in turns and in random order, memory and work apart from it.

    Models are put in evaluation mode, and nothing is recorded for backward. Raises ProfilingError for no
    models, for a PyTorch model, and for a callable in which no op of TinyTorch runs.

    >>> from tinytorch.models import MLP
    >>> found = side_by_side([Loaded("a", MLP((4, 3)), None), Loaded("b", MLP((4, 5, 3)), None)], rounds=3)
    >>> [(one.name, one.flops, one.parameters) for one in found]
    [('a', 27, 15), ('b', 83, 43)]
    """
    if not models or rounds < 1:
        raise ProfilingError(f"compare: {len(models)} models, rounds={rounds}; expected 1 or more of each")
    if foreign := [model.name for model in models if model.is_torch]:
        raise ProfilingError(f"compare: {foreign[0]} is PyTorch's; use `tito profile MODEL --against torch`")
    subjects = []
    for model in models:
        if isinstance(model.function, Module):
            model.function.eval()
        subjects.append(subject_of(model.function, model.args))
    with grad_mode(False):
        counters = [_counted(subject) for subject in subjects]
        times = in_turns([subject.call for subject in subjects], rounds, "compare")
        peaks = [measure_memory(subject).allocated for subject in subjects]
    tests = [paired_ratio(found, times[0]) for found in times]
    levels = [0.05, *holm([test.p_value for test in tests[1:]])]
    out = []
    for i, (model, subject, counter) in enumerate(zip(models, subjects, counters, strict=True)):
        costs = [cost for _, cost in counter.rows]
        flops = None if any(cost.flops is None for cost in costs) else sum(cost.flops or 0 for cost in costs)
        moved = sum(cost.bytes for cost in costs)
        out.append(
            Architecture(
                model.name,
                _inputs(subject),
                _batch(subject),
                subject.model.num_parameters() if subject.model is not None else 0,
                median(times[i]),
                flops,
                moved,
                peaks[i],
                len(costs),
                tests[i].estimate(1 - levels[i]),
                _allowed(counter, roof),
            )
        )
    return out


def _counted(subject: Subject) -> OpCosts:
    counter = OpCosts()
    counter.run(subject.call)
    if not counter.rows:
        raise ProfilingError(f"compare: no op of TinyTorch runs in {subject.name}")
    return counter


def _allowed(counter: OpCosts, roof: Roof | None) -> float | None:
    """Seconds that a roof allows for the ops, one after the other, each with its data as near as they fit."""
    if roof is None:
        return None
    from tinytorch.profiling.hardware.roofline import level_of

    return sum(
        max((cost.flops or 0) / roof.flops, cost.bytes / roof.bandwidths[level_of(roof, cost.bytes)])
        for _, cost in counter.rows
    )


def _tensors(subject: Subject) -> list[Tensor]:
    return [value for value in (*subject.args, *subject.kwargs.values()) if isinstance(value, Tensor)]


def _inputs(subject: Subject) -> str:
    return ", ".join(f"{tensor.dtype}{list(tensor.shape)}" for tensor in _tensors(subject)) or "none"


def _batch(subject: Subject) -> int:
    """Inferences in a pass: the first axis of the first input."""
    found = _tensors(subject)
    return found[0].shape[0] if found and found[0].ndim else 1

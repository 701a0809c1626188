"""Metrics, and the evaluation of a model over a loader."""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, TypeAlias

from tinytorch.autograd import no_grad
from tinytorch.errors import DataError
from tinytorch.nn.module import Module
from tinytorch.ops.compare import equal
from tinytorch.tensor import Tensor

Batch: TypeAlias = tuple[Tensor, ...]
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class Metric(ABC):
    """A figure over many batches: `reset`, `update` with each batch, `value`."""

    name: ClassVar[str]
    higher_is_better: ClassVar[bool]

    @abstractmethod
    def reset(self) -> None:
        """Forget all batches."""

    @abstractmethod
    def update(self, output: Tensor, target: Tensor, loss: float, count: int) -> None:
        """Take a batch of `count` samples in: the model's output, the target and the mean loss."""

    @abstractmethod
    def value(self) -> float:
        """The figure over all batches since `reset`; NaN if there were none."""


class RunningMean:
    """A weighted mean that grows with each figure.

    >>> mean = RunningMean()
    >>> mean.add(1.0, weight=3)
    >>> mean.add(5.0)
    >>> mean.value()
    2.0
    """

    def __init__(self) -> None:
        self.total, self.weight = 0.0, 0.0

    def add(self, figure: float, weight: float = 1.0) -> None:
        """Take a figure in: `total` grows by figure * weight, `weight` by the weight."""
        self.total += figure * weight
        self.weight += weight

    def value(self) -> float:
        """The mean, total over weight; NaN of nothing."""
        return self.total / self.weight if self.weight else math.nan


class Accuracy(Metric):
    """The share of targets that are the largest of the outputs along the last axis.

    Targets equal to `ignore_index` do not count.

    >>> accuracy = Accuracy()
    >>> accuracy.update(Tensor([[0.1, 0.9], [0.8, 0.2]]), Tensor([1, 1]), loss=0.0, count=2)
    >>> accuracy.value()
    0.5
    """

    name = "accuracy"
    higher_is_better = True

    def __init__(self, ignore_index: int = -100) -> None:
        self.ignore_index = ignore_index
        self.mean = RunningMean()

    def reset(self) -> None:
        """Forget all batches."""
        self.mean = RunningMean()

    def update(self, output: Tensor, target: Tensor, loss: float, count: int) -> None:
        """Count the targets that were hit: output (..., classes), target (...), class numbers.

        A hit is a target that equals the place of the largest output along the last axis. The share of hits
        among the targets that are not `self.ignore_index` goes into `self.mean`, weighted by how many those
        are; a batch without any changes nothing. `loss` and `count` are not needed.
        """
        hits = equal(output.detach().argmax(-1), target).data
        counted = target.data != self.ignore_index
        number = int(counted.sum())
        if number:
            self.mean.add(float((hits & counted).sum()) / number, number)

    def value(self) -> float:
        """Hits over targets."""
        return self.mean.value()


class _OfLoss(Metric):
    """A figure that is a function of the mean loss."""

    higher_is_better = False

    def __init__(self) -> None:
        self.mean = RunningMean()

    def reset(self) -> None:
        """Forget all batches."""
        self.mean = RunningMean()

    def update(self, output: Tensor, target: Tensor, loss: float, count: int) -> None:
        """Take the loss in."""
        self.mean.add(loss, count)


class Perplexity(_OfLoss):
    """e to the mean cross-entropy: among how many equally likely tokens the model hesitates."""

    name = "perplexity"

    def value(self) -> float:
        """e to the power of `self.mean`; infinity where that is above 700, NaN of nothing."""
        loss = self.mean.value()
        return math.exp(loss) if not loss > 700 else math.inf


class BitsPerByte(_OfLoss):
    """Mean cross-entropy of a byte-level model in bits: a compressor would reach as much.

    >>> bits = BitsPerByte()
    >>> bits.update(Tensor([0.0]), Tensor([0]), loss=math.log(256), count=1)
    >>> bits.value()
    8.0
    """

    name = "bits_per_byte"

    def value(self) -> float:
        """Loss / ln 2."""
        return self.mean.value() / math.log(2)


def count_of(batch: Batch) -> int:
    """The number of samples in a batch; raises DataError for what is no batch, or an empty one."""
    if not isinstance(batch, tuple) or len(batch) < 2 or not all(isinstance(t, Tensor) for t in batch):
        raise DataError("a batch is a tuple of Tensors: the inputs of the model, then the target")
    target = batch[-1]
    count = target.shape[0] if target.ndim else 1
    if not target.size:
        raise DataError(f"a batch is empty: its target has shape {target.shape}")
    return count


@contextlib.contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode for the length of a `with` block; it ends with each module in the mode it had before.

    Also where the block ends by an error. `model.modules()` gives the model and all its parts, `model.eval()`
    puts them into evaluation mode, and `.training` says of each whether it is in training mode.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def evaluate(
    model: Module, loader: Iterable[Batch], loss: Loss, metrics: Sequence[Metric] = ()
) -> dict[str, float]:
    """The mean loss of a loader ("loss") and each metric by its name, in evaluation mode, without gradients.

    Each metric is reset, then updated with (output, target, loss, count) of each batch. A batch counts by its
    number of samples, `count_of(batch)`, so that a short last one weighs less. The modes of the modules are
    as before afterwards. Raises DataError for a loader without batches.

    >>> from tinytorch.nn import Flatten, CrossEntropyLoss
    >>> batches = [(Tensor([[0.0, 2.0], [2.0, 0.0]]), Tensor([1, 1]))]
    >>> evaluate(Flatten(), batches, CrossEntropyLoss(), [Accuracy()])["accuracy"]
    0.5
    """
    mean = RunningMean()
    for metric in metrics:
        metric.reset()
    with evaluating(model), no_grad():
        for batch in loader:
            count = count_of(batch)
            output = model(*batch[:-1])
            value = float(loss(output, batch[-1]).item())
            mean.add(value, count)
            for metric in metrics:
                metric.update(output, batch[-1], value, count)
    if not mean.weight:
        raise DataError("evaluate: the loader has no batches")
    return {"loss": mean.value()} | {metric.name: metric.value() for metric in metrics}

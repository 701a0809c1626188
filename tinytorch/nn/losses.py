"""Losses: mean squared error, cross-entropy, and cross-entropy of yes-or-no questions."""

from __future__ import annotations

from tinytorch.errors import DataError, ShapeError
from tinytorch.nn.module import Module
from tinytorch.ops.arithmetic import maximum
from tinytorch.ops.softmax import cross_entropy
from tinytorch.tensor import Tensor

REDUCTIONS = ("mean", "sum", "none")


def reduced(name: str, loss: Tensor, reduction: str) -> Tensor:
    """The mean of all losses for the reduction "mean", their sum for "sum", themselves for "none".

    Raises DataError, which begins with `name`, for the mean of no losses at all: an empty batch.
    """
    if reduction == "mean":
        if loss.size == 0:
            raise DataError(f"{name}: the batch is empty, so its mean is undefined. Drop empty batches.")
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss


def _check(name: str, x: Tensor, target: Tensor, reduction: str) -> None:
    if x.shape != target.shape:
        raise ShapeError(
            f"{name}: prediction {x.shape} and target {target.shape} differ. Use reshape() on one."
        )
    if reduction not in REDUCTIONS:
        raise DataError(f"{name}: reduction is one of {', '.join(REDUCTIONS)}, not {reduction!r}")


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(input - target) ** 2, reduced (`reduced`); raises ShapeError unless the shapes are equal.

    reduction: "mean", "sum" or "none"; DataError for another. `_check` raises both errors.

    >>> mse_loss(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(2.)
    """
    _check("mse_loss", input, target, reduction)
    error = input - target
    return reduced("mse_loss", error * error, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, pos_weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """-target * log(s) - (1 - target) * log(1 - s) with s = sigmoid(input), finite for any finite logit.

    target: probabilities of "yes", of the shape of input. pos_weight: factor on the first term, broadcast.
    Reductions and errors are those of `mse_loss`. -log(s) is log(1 + e ** -x), and that is
    max(-x, 0) + log(1 + e ** -|x|), which does not overflow; -log(1 - s) is x more.

    >>> binary_cross_entropy_with_logits(Tensor([0.0]), Tensor([1.0]))
    Tensor(0.6931)
    """
    _check("binary_cross_entropy_with_logits", input, target, reduction)
    # log(1 + e^-x) without overflow; at 0 the gradient of abs is 0, that of `maximum` the half that is right
    softplus = ((-input.abs()).exp() + 1.0).log() + maximum(-input, 0.0)
    loss = input - input * target
    if pos_weight is None:
        loss = loss + softplus
    else:
        loss = loss + softplus * ((pos_weight - 1.0) * target + 1.0)
    return reduced("binary_cross_entropy_with_logits", loss, reduction)


class MSELoss(Module):
    """Mean of the squared differences; input and target of one shape.

    >>> MSELoss()(Tensor([1.0, 2.0]), Tensor([1.0, 4.0]))
    Tensor(2.)
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, target, self.reduction)


class CrossEntropyLoss(Module):
    """-log softmax(logits)[label], averaged; logits: (rows, classes), labels: (rows,) integers.

    `ignore_index`: a label that does not count. `label_smoothing`: share of the target spread over all
    classes (Szegedy et al., "Rethinking the Inception architecture", 2016). Raises DataError for a label
    out of range.

    >>> CrossEntropyLoss()(Tensor([[0.0, 0.0]]), Tensor([1]))
    Tensor(0.6931)
    """

    def __init__(
        self, label_smoothing: float = 0.0, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.label_smoothing, self.ignore_index, self.reduction = label_smoothing, ignore_index, reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, self.label_smoothing, self.ignore_index, self.reduction)

    def extra_repr(self) -> str:
        return f"label_smoothing={self.label_smoothing}, ignore_index={self.ignore_index}"


class BCEWithLogitsLoss(Module):
    """Cross-entropy of yes-or-no questions from logits; see `binary_cross_entropy_with_logits`.

    >>> BCEWithLogitsLoss()(Tensor([100.0]), Tensor([1.0]))
    Tensor(0.)
    """

    pos_weight: Tensor | None

    def __init__(self, pos_weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction
        if pos_weight is None:
            self.pos_weight = None
        else:
            self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(input, target, self.pos_weight, self.reduction)

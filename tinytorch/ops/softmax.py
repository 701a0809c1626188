"""Softmax, its logarithm, and the cross-entropy that is built on both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import DataError, DTypeError, ShapeError
from tinytorch.ops.base import Gradient, Op, Sample
from tinytorch.ops.compare import where
from tinytorch.ops.context import state
from tinytorch.ops.index import gather
from tinytorch.ops.spec import Array, Spec, normalize_axis, require_float

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

COST = 8
"""FLOPs an element of a softmax: maximum, subtraction, exp (4), sum, division."""

_quiet = np.errstate(all="ignore")


def moderate(x: Array) -> bool:
    """Whether exponentials of x lose nothing and do not overflow, so that no maximum need be subtracted.

    NumPy's maximum along short rows takes longer than all the rest of a softmax; over the whole array
    it is cheap.
    """
    return bool(x.size and x.dtype != np.float16 and x.min() >= -30 and x.max() <= 30)


@_quiet
def softmax_rows(x: Array, is_moderate: bool) -> Array:
    """Softmax of a contiguous x along its last axis, in its own memory; a row of only -inf gives zeros.

    `is_moderate`: all of x but its -inf passed `moderate`.
    """
    rows = x.reshape(-1, x.shape[-1])
    if not is_moderate:
        top = rows.max(1, keepdims=True)
        top[np.isneginf(top)] = 0
        rows -= top
    np.exp(rows, out=rows)
    total = rows @ np.ones((rows.shape[1], 1), x.dtype)
    total[total == 0] = 1
    rows *= np.divide(1, total, out=total)
    return x


@dataclass
class Softmax(Op):
    """out = e ** a / sum of e ** a along an axis.   da = out * (g - sum of g * out)"""

    axis: int
    keeps: ClassVar[Any] = ()
    keeps_output: ClassVar[bool] = True

    def infer(self, a: Spec) -> Spec:
        require_float("softmax", a)
        if a.ndim == 0 or a.shape[self.axis] == 0:
            raise ShapeError(f"softmax: {a.shape} has nothing along axis {self.axis}")
        return Spec(a.shape, a.dtype)

    def forward(self, a: Array) -> Any:
        """e ** a over its sum along `self.axis`, in the dtype of a, which stays as it is.

        No power may overflow however large a is, and e ** -inf is 0, as masks need it; a slice of nothing
        but -inf gives zeros, not NaN.
        """
        last = np.moveaxis(a, self.axis, -1).copy()
        return np.moveaxis(softmax_rows(last, moderate(last)), -1, self.axis)

    def vjp(self, g: Tensor, out: Tensor, a: Spec) -> tuple[Gradient, ...]:
        """The gradient of a, alone in a tuple, from g, that of out = softmax of a along `self.axis`.

        The derivative of out[i] by a[j] is out[i] * (1 if i == j else 0) - out[i] * out[j]. Sum g[i] times
        that over i by hand: no matrix of derivatives is needed.
        """
        return (out * (g - (g * out).sum(self.axis, keepdims=True)),)

    def flops(self, out: Spec, a: Spec) -> int:
        return COST * out.size


@dataclass
class LogSoftmax(Softmax):
    """out = a - log(sum of e ** a) along an axis.   da = g - e ** out * sum of g"""

    @_quiet
    def forward(self, a: Array) -> Any:
        """The logarithm of softmax along `self.axis`, in the dtype of a, which stays as it is.

        Finite for every finite a: a - max - log(sum of e ** (a - max)) takes no logarithm of a softmax that
        was rounded to 0. Elements of -inf stay -inf beside finite ones.
        """
        out = a - a.max(self.axis, keepdims=True)
        out -= np.log(np.exp(out).sum(self.axis, keepdims=True))
        return out

    def vjp(self, g: Tensor, out: Tensor, a: Spec) -> tuple[Gradient, ...]:
        return (g - out.exp() * g.sum(self.axis, keepdims=True),)


@dataclass
class CrossEntropy(Op):
    """loss = -log softmax(logits)[label], mean, sum or per row.   dlogits = g * (p - target) / rows

    Keeps that gradient for g = 1, which forward has at hand. Rows whose label is `ignore_index` count for
    nothing.
    """

    fuses: ClassVar[tuple[str, ...]] = (
        "Add",
        "Div",
        "Gather",
        "LogSoftmax",
        "Mean",
        "Mul",
        "Neg",
        "NotEqual",
        "Sum",
    )
    label_smoothing: float = 0.0
    ignore_index: int = -100
    reduction: str = "mean"
    outputs: ClassVar[int] = 2
    higher_order: ClassVar[str] = "composite"

    def infer(self, logits: Spec, labels: Spec) -> tuple[Spec, Spec]:
        require_float("cross_entropy", logits)
        if labels.dtype.kind != "i":
            raise DTypeError(
                f"cross_entropy: labels are integers, not {labels.dtype}. Cast with .to('int64')."
            )
        if logits.ndim != 2 or labels.shape != logits.shape[:1]:
            raise ShapeError(
                f"cross_entropy: logits {logits.shape}, labels {labels.shape}: expected (rows, classes) and "
                "(rows,). Did you mean logits.reshape(-1, classes) and labels.reshape(-1)?"
            )
        if logits.shape[0] == 0 and self.reduction == "mean":
            raise DataError(
                "cross_entropy: the batch is empty, so its mean is undefined. Drop empty batches."
            )
        if logits.shape[1] == 0:
            raise ShapeError(f"cross_entropy: logits {logits.shape} have no classes")
        return Spec(labels.shape if self.reduction == "none" else (), logits.dtype), Spec(
            logits.shape, logits.dtype
        )

    @_quiet
    def forward(self, logits: Array, labels: Array) -> Any:
        """(loss, gradient) for logits: (rows, classes) and labels: (rows,), in the dtype of logits.

        `counted_labels` says which rows count and refuses labels out of range; a row that does not count
        has the loss 0, whatever its label (give `row_losses` some label that exists in its place).
        loss: of shape (rows,) for the reduction "none", else one number, the sum times `share`, which is
        1 for "sum" and, for "mean", 1 over the number of rows that count (`_count(labels, counted)`).
        gradient: what backward will need, made by `self.gradient`; share is 1 for "none" too.
        """
        counted = counted_labels(labels, logits.shape[1], self.ignore_index)
        targets = labels if counted is None else np.where(counted, labels, 0)
        loss, e, total = self.row_losses(logits, targets)
        if counted is not None:
            loss[~counted] = 0
        share = logits.dtype.type(1 / _count(labels, counted) if self.reduction == "mean" else 1)
        gradient = self.gradient(e, total, targets, counted, share)
        return loss if self.reduction == "none" else loss.sum() * share, gradient

    def row_losses(self, logits: Array, targets: Array) -> tuple[Array, Array, Array]:
        """(loss, e, total) of all rows; logits: (rows, classes), which stay as they are; targets: (rows,).

        e: (rows, classes), e ** (logits - the largest of the row), so that nothing overflows. total:
        (rows, 1), the sums of the rows of e. loss: (rows,), -log softmax at the target, which is
        log(total) - (logit of the target - largest). With smoothing s = `self.label_smoothing` the target
        counts 1 - s, and s goes to the mean of -log softmax over all classes. All in the dtype of logits.
        """
        d = logits - np.maximum.reduce(logits, 1, keepdims=True)
        loss = -d[np.arange(len(targets)), targets]
        if self.label_smoothing:
            loss *= 1 - self.label_smoothing
            loss -= self.label_smoothing * d.mean(1)
        np.exp(d, out=d)
        total = np.add.reduce(d, 1, keepdims=True)
        loss += np.log(total[:, 0])
        return loss, d, total

    def gradient(self, e: Array, total: Array, targets: Array, counted: Array | None, share: Any) -> Array:
        """share * (softmax - smoothed target), 0 in rows that do not count; overwrites e."""
        smoothing, kind = self.label_smoothing, e.dtype.type
        e *= share / total
        if smoothing:
            e -= share * kind(smoothing / e.shape[1])
        e[np.arange(len(targets)), targets] -= share * kind(1 - smoothing)
        if counted is not None:
            e[~counted] = 0
        return e

    def vjp(self, g: Tensor, out: Any, logits: Tensor, labels: Tensor) -> tuple[Gradient, ...]:
        return out[1] * (g.unsqueeze(1) if g.ndim else g), None

    def composite(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The same loss out of simpler ops: logits (rows, classes), labels (rows,), result () or (rows,).

        log_softmax(logits, 1); from each row the element at its label, by `gather(x, 1, index)`, whose index
        has as many axes as x; `self.label_smoothing` as in `row_losses`. Rows whose label is
        `self.ignore_index` give 0 (`where`), and count for nothing in the mean. Labels are in range.
        """
        log_p = log_softmax(logits, 1)
        counted = labels != self.ignore_index
        picked = gather(log_p, 1, where(counted, labels, 0).unsqueeze(1)).squeeze(1)
        smooth = log_p.mean(1)
        loss = -(picked * (1 - self.label_smoothing) + smooth * self.label_smoothing)
        loss = where(counted, loss, 0.0)
        if self.reduction == "none":
            return loss
        return loss.sum() / counted.to(logits.dtype).sum() if self.reduction == "mean" else loss.sum()

    def flops(self, out: Any, logits: Spec, labels: Spec) -> int:
        return COST * logits.size


def counted_labels(labels: Array, classes: int, ignore_index: int) -> Array | None:
    """A mask (rows,) of the labels that count: all but `ignore_index`. It may be None where all do.

    Raises DataError, which names the label and the classes, if one that counts is not in 0 to classes - 1:
    the lowest if that is negative, else the highest. `ignore_index` may lie in that range or out of it.
    """
    if not labels.size:
        return None
    if not 0 <= ignore_index < classes and np.maximum.reduce(labels.view(f"u{labels.itemsize}")) < classes:
        return None  # read as unsigned, a negative label is a very large one: one look finds both
    counted: Array = labels != ignore_index
    low, high = labels.min(where=counted, initial=0), labels.max(where=counted, initial=0)
    if low < 0 or high >= classes:
        worst = low if low < 0 else high
        raise DataError(
            f"cross_entropy: label {worst} is out of range for {classes} classes (0 to {classes - 1})"
        )
    return counted


def _count(labels: Array, counted: Array | None) -> int:
    """How many labels count; raises DataError if none does."""
    count = len(labels) if counted is None else int(np.count_nonzero(counted))
    if not count:
        raise DataError("cross_entropy: every label is ignored, so the mean is undefined")
    return count


Softmax.samples = [Sample(Softmax(1), (3, 4)), Sample(Softmax(0), (3, 4)), Sample(Softmax(0), (1,))]
LogSoftmax.samples = [Sample(LogSoftmax(1), (3, 4)), Sample(LogSoftmax(1), (2, 3, 4))]
_LABELS = np.array([1, 0, 3])
CrossEntropy.samples = [
    Sample(CrossEntropy(), (3, 4), _LABELS),
    Sample(CrossEntropy(0.1, 0, "sum"), (3, 4), _LABELS),
    Sample(CrossEntropy(0.2, 3, "none"), (3, 4), _LABELS),
]


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Positive numbers that sum to 1 along `axis`; a slice of nothing but -inf gives zeros.

    >>> softmax(tt.Tensor([0.0, 1.0]))
    Tensor([0.2689, 0.7311])
    """
    return Softmax(normalize_axis("softmax", axis, x.ndim))(x)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """The logarithm of softmax along `axis`, without its rounding to zero.

    >>> log_softmax(tt.Tensor([0.0, 1.0]))
    Tensor([-1.3133, -0.3133])
    """
    return LogSoftmax(normalize_axis("log_softmax", axis, x.ndim))(x)


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-log softmax(logits)[label]; logits: (rows, classes), labels: (rows,) integers.

    `reduction`: "mean" over the rows that count, "sum", or "none" for a loss per row.
    Raises DataError for a label out of range or an empty batch, ShapeError, DTypeError.

    >>> cross_entropy(tt.Tensor([[2.0, 0.0]]), tt.Tensor([0]))
    Tensor(0.1269)
    """
    if reduction not in ("mean", "sum", "none"):
        raise DataError(f"cross_entropy: reduction {reduction!r} is not 'mean', 'sum' or 'none'")
    if not 0 <= label_smoothing <= 1:
        raise DataError(f"cross_entropy: label_smoothing {label_smoothing} is not between 0 and 1")
    op = CrossEntropy(label_smoothing, ignore_index, reduction)
    if op.steps_aside() and not state().meta:
        # the composite form looks at no label; `forward` would
        op.infer(*(Spec(t.shape, t.dtype) for t in (logits, labels)))
        counted = counted_labels(labels._array, logits.shape[1], ignore_index)
        if reduction == "mean":
            _count(labels._array, counted)
    return op(logits, labels)

"""Matrix products: `a @ b` of any rank, and the affine map of a linear layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import ShapeError
from tinytorch.ops.base import Gradient, Op, Sample
from tinytorch.ops.shape import reshape
from tinytorch.ops.spec import Array, Spec, broadcast, require_float

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor


class MatMul(Op):
    """out = a @ b over the last two axes; leading axes broadcast.   da = g @ b^T,  db = a^T @ g"""

    samples: ClassVar[Any] = [
        ((3, 4), (4, 5)),
        ((2, 3, 4), (4, 5)),
        ((2, 1, 3, 4), (3, 4, 2)),
        ((0, 4), (4, 5)),
        ((3, 0), (0, 5)),
    ]

    def infer(self, a: Spec, b: Spec) -> Spec:
        """Spec of the product: a: (..., n, k), b: (..., k, m), result (..., n, m) in the dtype of both.

        The leading axes, written ..., broadcast. Raises DTypeError through `require_float`, and ShapeError
        where a or b has fewer than two axes or the inner sizes differ; it names both shapes and both inner
        sizes, and asks "Did you mean w.mT?" if b would fit as its transpose, else "Did you mean a.mT @ b?"
        if a would.
        """
        require_float("matmul", a, b)
        if a.ndim < 2 or b.ndim < 2:
            raise ShapeError(
                f"matmul: {a.shape} @ {b.shape}: both need two axes or more. unsqueeze() adds one."
            )
        if a.shape[-1] != b.shape[-2]:
            hint = ""
            if a.shape[-1] == b.shape[-1]:
                hint = " Did you mean w.mT?"
            elif a.shape[-2] == b.shape[-2]:
                hint = " Did you mean a.mT @ b?"
            raise ShapeError(
                f"matmul: {a.shape} @ {b.shape}: inner sizes {a.shape[-1]} and {b.shape[-2]} differ.{hint}"
            )
        lead = broadcast("matmul", a.shape[:-2], b.shape[:-2])
        return Spec((*lead, a.shape[-2], b.shape[-1]), a.dtype)

    def forward(self, a: Array, b: Array) -> Any:
        """The product over the last two axes: a: (..., n, k), b: (..., k, m), result (..., n, m).

        out[..., i, j] is the sum over k of a[..., i, k] * b[..., k, j]; the leading axes broadcast, sizes may
        be 0, and the dtype stays. Both have two axes or more, and their inner sizes agree.
        """
        return np.matmul(a, b)

    def vjp(self, g: Tensor, out: Spec, a: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        """The gradients of a and b from g, that of out = a @ b, as Tensors or functions that make them.

        a: (..., n, k), b: (..., k, m), g: (..., n, m); all have two axes or more. Where leading axes were
        broadcast, gradients have those of g: the walk sums them (`unbroadcast`).
        """
        return lambda: g @ b.mT, lambda: a.mT @ g

    def matmul_flops(self, out: Spec, a: Spec, b: Spec) -> int:
        return 2 * out.size * a.shape[-1]

    def flops(self, out: Spec, a: Spec, b: Spec) -> int:
        return self.matmul_flops(out, a, b)


class Linear(Op):
    """out = x @ w^T + b, all leading axes of x as rows.   dx = g @ w,  dw = g^T @ x,  db = sum of g over rows

    One product over all rows instead of one for each batch entry, and no copy for the bias.
    """

    higher_order = "composite"
    fuses = ("Add", "MatMul")
    samples: ClassVar[Any] = [
        ((3, 4), (5, 4), (5,)),
        ((2, 3, 4), (5, 4), (5,)),
        ((0, 4), (5, 4), (5,)),
        ((4,), (5, 4), (5,)),
    ]

    def infer(self, x: Spec, w: Spec, b: Spec) -> Spec:
        require_float("linear", x, w, b)
        given, weight = x.shape, w.shape
        if len(weight) != 2 or b.shape != weight[:1]:
            raise ShapeError(f"linear: weight {weight} and bias {b.shape}: expected (out, in) and (out,)")
        if not given or given[-1] != weight[1]:
            raise ShapeError(f"linear: input {given} ends in {given[-1:]}, the weight takes {weight[1]}")
        return Spec((*given[:-1], weight[0]), x.dtype)

    def forward(self, x: Array, w: Array, b: Array) -> Any:
        """x @ w^T + b; x: (..., in), w: (out, in), b: (out,), result (..., out), in the dtype of x.

        x may have one axis, or any number of leading axes, of any size; the inputs stay as they are.
        `_rows(x)` is x as a matrix with all leading axes as rows: one large product is faster than many
        small ones.
        """
        rows = _rows(x)
        if 2 * len(rows) <= len(w):  # BLAS is at its best with the longer matrix first
            out = np.add(np.matmul(w, rows.T).T, b, order="C")
        else:
            out = np.matmul(rows, w.T)
            out += b
        return out.reshape(*x.shape[:-1], w.shape[0])

    def vjp(self, g: Tensor, out: Spec, x: Tensor, w: Tensor, b: Tensor) -> tuple[Gradient, ...]:
        wanted = w.requires_grad or b.requires_grad
        dw, db = _linear_weight_grad.all(g, x) if wanted else (None, None)
        return lambda: _linear_input_grad(g, w), dw, db

    def composite(self, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        lifted = x if x.ndim > 1 else x.unsqueeze(0)
        out = lifted @ w.mT + b
        return out if x.ndim > 1 else out.squeeze(0)

    def matmul_flops(self, out: Spec, x: Spec, w: Spec, b: Spec) -> int:
        return 2 * out.size * w.shape[1]

    def flops(self, out: Spec, x: Spec, w: Spec, b: Spec) -> int:
        return self.matmul_flops(out, x, w, b) + out.size


class LinearInputGrad(Op):
    """dx = g @ w, all leading axes of g as rows"""

    numpy_checks = True
    samples: ClassVar[Any] = [Sample(None, (2, 3, 5), (5, 4), differentiable=False)]

    def infer(self, g: Spec, w: Spec) -> Spec:
        return Spec((*g.shape[:-1], w.shape[1]), g.dtype)

    def forward(self, g: Array, w: Array) -> Any:
        return np.matmul(_rows(g), w).reshape(*g.shape[:-1], w.shape[1])

    def matmul_flops(self, out: Spec, g: Spec, w: Spec) -> int:
        return 2 * out.size * w.shape[0]

    def flops(self, out: Spec, g: Spec, w: Spec) -> int:
        return self.matmul_flops(out, g, w)


class LinearWeightGrad(Op):
    """dw = g^T @ x, db = sum of g, over all rows"""

    outputs = 2
    numpy_checks = True
    samples: ClassVar[Any] = [Sample(None, (2, 3, 5), (2, 3, 4), differentiable=False)]

    def infer(self, g: Spec, x: Spec) -> tuple[Spec, Spec]:
        return Spec((g.shape[-1], x.shape[-1]), g.dtype), Spec(g.shape[-1:], g.dtype)

    def forward(self, g: Array, x: Array) -> Any:
        rows = _rows(g)
        return np.matmul(rows.T, _rows(x)), np.matmul(np.ones(len(rows), g.dtype), rows)

    def matmul_flops(self, out: tuple[Spec, Spec], g: Spec, x: Spec) -> int:
        return 2 * g.size * x.shape[-1]

    def flops(self, out: tuple[Spec, Spec], g: Spec, x: Spec) -> int:
        return self.matmul_flops(out, g, x) + g.size


def _rows(x: Array) -> Array:
    """x as a matrix: all axes but the last are rows."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


_matmul, _linear = MatMul(), Linear()
_linear_input_grad, _linear_weight_grad = LinearInputGrad(), LinearWeightGrad()


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a @ b; a: (..., n, k), b: (..., k, m), result (..., n, m); one axis stands for a row or a column.

    Raises ShapeError where the inner sizes differ, DTypeError for integers.

    >>> tt.Tensor([[1.0, 2.0]]) @ tt.Tensor([[3.0], [4.0]])
    Tensor([[11.]])
    """
    if a.ndim >= 2 and b.ndim >= 2:
        return _matmul(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"matmul: {a.shape} @ {b.shape}: a tensor without axes cannot be multiplied. Use *.")
    left, right = a.ndim == 1, b.ndim == 1
    if left and right:
        out = _matmul(a.unsqueeze(0), b.unsqueeze(1))
        return out.squeeze((0, 1))
    out = _matmul(a.unsqueeze(0) if left else a, b.unsqueeze(-1) if right else b)
    return out.squeeze(-2 if left else -1)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight^T + bias; x: (..., in), weight: (out, in), bias: (out,), result (..., out).

    >>> linear(tt.Tensor([[1.0, 2.0]]), tt.Tensor([[3.0, 4.0]]), tt.Tensor([0.5]))
    Tensor([[11.5]])
    """
    if bias is not None:
        return _linear(x, weight, bias)
    if x.ndim == 1:
        return matmul(x, weight.mT)
    out = _matmul(reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])), weight.mT)
    return reshape(out, (*x.shape[:-1], weight.shape[0]))

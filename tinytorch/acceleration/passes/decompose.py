"""Decomposition: layers become products, sums and element-wise ops, which are put together anew."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.passes.rewrite import expanded, rewritten
from tinytorch.nn.embedding import embedding
from tinytorch.ops import batchnorm, blocks, conv, matmul, quantized, sparse, update
from tinytorch.ops.arithmetic import Pow
from tinytorch.ops.base import Op, registry
from tinytorch.ops.context import rules
from tinytorch.ops.integer import GroupMatMul, IntConv2d, int_matmul
from tinytorch.ops.reduce import mean
from tinytorch.ops.shape import permute, reshape
from tinytorch.tensor import Tensor

_matmul, _group_matmul = matmul.MatMul(), GroupMatMul()


def _rows(x: Tensor) -> Tensor:
    return reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _linear(op: Op, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return reshape(_matmul(_rows(x), permute(w, (1, 0))) + b, (*x.shape[:-1], w.shape[0]))


def _linear_input_grad(op: Op, g: Tensor, w: Tensor) -> Tensor:
    return reshape(_matmul(_rows(g), w), (*g.shape[:-1], w.shape[1]))


def _linear_weight_grad(op: Op, g: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    rows = _rows(g)
    return _matmul(permute(rows, (1, 0)), _rows(x)), rows.sum(0)


def _conv2d(op: Any, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    plain = conv.Conv2d(op.stride, op.padding, op.dilation, op.groups)(x, w)
    return plain if b is None else plain + reshape(b, (1, w.shape[0], 1, 1))


def _beside(channels: Tensor, x: Tensor) -> Tensor:
    return reshape(channels, (1, -1, *(1,) * (x.ndim - 2)))


def _batch_norm(op: Any, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    axes = (0, *range(2, x.ndim))
    average = mean(x, axes)
    centred = x - _beside(average, x)
    variance = mean(centred * centred, axes)
    scale = weight / (variance + op.eps).sqrt()
    return centred * _beside(scale, x) + _beside(bias, x), average, variance


def _batch_norm_grad(
    op: Any, g: Tensor, x: Tensor, weight: Tensor, average: Tensor, variance: Tensor
) -> tuple[Tensor, ...]:
    axes = (0, *range(2, x.ndim))
    rstd = 1.0 / (variance + op.eps).sqrt()
    share = 1 / math.prod(x.shape[i] for i in axes)
    xhat = (x - _beside(average, x)) * _beside(rstd, x)
    dbias, dweight = g.sum(axes), (g * xhat).sum(axes)
    inner = g - xhat * _beside(dweight * share, x) - _beside(dbias * share, x)
    return inner * _beside(rstd * weight, x), dweight, dbias


def _matmul_rows(op: Op, a: Tensor, b: Tensor) -> Tensor:
    return reshape(_matmul(_rows(a), b), (*a.shape[:-1], b.shape[1]))


def _linear_int8(op: Op, x: Tensor, x_scale: Tensor, w: Tensor, w_scale: Tensor, *zero: Tensor) -> Tensor:
    total = int_matmul(_rows(x), w)
    if zero:
        ones = registry.make(np.ones((1, w.shape[1]), np.int8))
        total = total - zero[0] * int_matmul(ones, w)
    scale = x_scale if x_scale.ndim == 0 else reshape(x_scale, (-1, 1))
    return reshape(total.to(x_scale.dtype) * scale * w_scale, (*x.shape[:-1], w.shape[0]))


def _linear_int4(op: Op, x: Tensor, x_scale: Tensor, w: Tensor, w_scale: Tensor) -> Tensor:
    scale = x_scale if x_scale.ndim == 0 else reshape(x_scale, (-1, 1))
    return reshape(_group_matmul(_rows(x), w, w_scale) * scale, (*x.shape[:-1], w.shape[0]))


def _conv2d_int8(op: Any, x: Tensor, x_scale: Tensor, w: Tensor, w_scale: Tensor, *zero: Tensor) -> Tensor:
    convolve = IntConv2d(op.stride, op.padding, op.dilation, op.groups)
    total = convolve(x, w)
    if zero:
        ones = registry.make(np.ones((1, *x.shape[1:]), np.int8))
        total = total - zero[0] * convolve(ones, w)
    beside = w_scale if w_scale.ndim == 0 else reshape(w_scale, (-1, 1, 1))
    return total.to(x_scale.dtype) * x_scale * beside


def _lookup_int8(op: Op, codes: Tensor, scale: Tensor, ids: Tensor) -> Tensor:
    return embedding(ids, codes).to(scale.dtype) * embedding(ids, scale)


def _block_linear(op: Any, x: Tensor, scale: Tensor, sums: Tensor, w: Tensor) -> Tensor:
    return reshape(op(_rows(x), _rows(scale), _rows(sums), w), (*x.shape[:-1], op.n))


def _sparse(op: Op, x: Tensor, values: Tensor, columns: Tensor, starts: Tensor, *bias: Tensor) -> Tensor:
    out = op(_rows(x), values, columns, starts)
    return reshape(out + bias[0] if bias else out, (*x.shape[:-1], out.shape[1]))


FORMS: dict[type[Op], Callable[..., Any]] = {
    matmul.MatMul: _matmul_rows,
    matmul.Linear: _linear,
    matmul.LinearInputGrad: _linear_input_grad,
    matmul.LinearWeightGrad: _linear_weight_grad,
    conv.Conv2d: _conv2d,
    batchnorm.BatchNorm: _batch_norm,
    batchnorm.BatchNormGrad: _batch_norm_grad,
    quantized.LinearInt8: _linear_int8,
    quantized.LinearInt4: _linear_int4,
    quantized.Conv2dInt8: _conv2d_int8,
    quantized.LookupInt8: _lookup_int8,
    blocks.BlockLinear: _block_linear,
    sparse.LinearCSR: _sparse,
    sparse.LinearBlocked: _sparse,
}
_POWERS: dict[float, Callable[[Tensor], Tensor]] = {
    1.0: lambda a: a,
    2.0: lambda a: a * a,
    3.0: lambda a: a * a * a,
    0.5: lambda a: a.sqrt(),
    -0.5: lambda a: 1.0 / a.sqrt(),
    -1.0: lambda a: 1.0 / a,
}


def decompose(graph: Graph) -> Graph:
    """Linear layers, biased convolutions, batch norm, powers and updates as simpler ops.

    An update of many parameters becomes one for each, so that it can go where its gradient is made.
    """

    def rewrite(graph: Graph, call: Call) -> tuple[list[Call], dict[int, int]] | None:
        if type(call.op).__name__ in rules:
            return None
        if isinstance(call.op, update.SGDUpdate | update.AdamUpdate) and call.op.count > 1:
            return _split(graph, call), {}
        if isinstance(call.op, Pow):
            return _power(graph, call)
        form = FORMS.get(type(call.op))
        if form is None or (isinstance(call.op, conv.Conv2d) and len(call.inputs) < 3):
            return None
        if isinstance(call.op, matmul.MatMul) and not _is_one_matrix(graph, call):
            return None
        if any(graph.specs[v].size == 0 for v in (*call.inputs, *call.outputs)):
            return None
        return expanded(graph, call, lambda *inputs: form(call.op, *inputs))

    return rewritten(graph, rewrite)


def _is_one_matrix(graph: Graph, call: Call) -> bool:
    """Whether a batch is multiplied by one matrix, so that its rows are those of one long matrix."""
    a, b = (graph.specs[v] for v in call.inputs)
    return a.ndim > 2 and b.ndim == 2


def _power(graph: Graph, call: Call) -> tuple[list[Call], dict[int, int]] | None:
    base, exponent = call.inputs
    array = graph.constants.get(exponent)
    if array is None or array.ndim or graph.specs[base].dtype.kind != "f":
        return None
    form = _POWERS.get(float(array))
    if form is None or np.ndim(array):
        return None
    return expanded(graph, call, lambda a, _: form(a))


def _split(graph: Graph, call: Call) -> list[Call]:
    """One update for each parameter."""
    op: Any = call.op
    n = op.count
    rate, tensors = call.inputs[0], call.inputs[1:]
    one = replace(op, count=1)
    calls = []
    for i in range(n):
        writes = call.writes[i::n]
        calls.append(Call(one, (rate, *tensors[i::n]), writes[:1], writes, call.path, call.backward))
    return calls

"""Why a kernel computes what it does, what it moves, and why a call has none."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinytorch.acceleration.fused import parts
from tinytorch.acceleration.graph import Call, Graph, describe
from tinytorch.acceleration.native.kernels.attention import AttentionGradHeads, AttentionHeads
from tinytorch.acceleration.native.kernels.blocks import BlockGemm
from tinytorch.acceleration.native.kernels.codes import QuantizeEachRow
from tinytorch.acceleration.native.kernels.convolution import Convolve
from tinytorch.acceleration.native.kernels.gemm import Gemm
from tinytorch.acceleration.native.kernels.integer import Codes
from tinytorch.acceleration.native.kernels.kernel import Kernel
from tinytorch.acceleration.native.kernels.lookup import SumRows, TakeRows
from tinytorch.acceleration.native.kernels.pointwise import Pointwise
from tinytorch.acceleration.native.kernels.reduction import Reduce
from tinytorch.acceleration.native.kernels.rows import (
    CrossEntropyRows,
    LayerNormGradRows,
    LayerNormRows,
    SoftmaxRows,
)
from tinytorch.acceleration.native.kernels.sparse import SparseProduct
from tinytorch.acceleration.native.kernels.winograd import Winograd
from tinytorch.acceleration.native.lower import native_ops
from tinytorch.acceleration.native.place import Place
from tinytorch.ops.context import rules
from tinytorch.ops.pool import MaxPool2d
from tinytorch.ops.update import SGDUpdate

_ROWS: dict[type[Kernel], str] = {
    SoftmaxRows: "the passes over a row follow each other while it is in the cache",
    LayerNormRows: "mean, variance and result of a row are computed while it is in the cache",
    LayerNormGradRows: "all three gradients are computed from a row while it is in the cache",
    CrossEntropyRows: "the loss and its gradient are computed from a row while it is in the cache",
    QuantizeEachRow: "the largest number and the codes of a row are found while it is in the cache",
    AttentionHeads: "scores, softmax and weighted values of a few queries at a time stay in the cache",
    AttentionGradHeads: "the gradients of scores stay in the cache, a head at a time",
}


def reason(kernel: Kernel) -> str:
    """Why these calls are one kernel; "" where there is one call and nothing to say."""
    if isinstance(kernel, Convolve | Winograd):
        return _epilogue(kernel, "convolution")
    if isinstance(kernel, Gemm | Codes | SparseProduct | BlockGemm):
        return _epilogue(kernel, "product")
    if isinstance(kernel, Reduce) and kernel.body.calls:
        return (
            f"{_named(kernel.body.calls)} on the way into the {kernel.op.name}: the results are never stored"
        )
    if isinstance(kernel, Pointwise) and len(kernel.body.calls) > 1:
        inside = len(kernel.body.calls) - len(kernel.writes)
        stored = (
            f", and {inside} in between {'are' if inside > 1 else 'is'} never stored" if inside > 0 else ""
        )
        return f"all go element by element: each element is read once{stored}"
    return _ROWS.get(type(kernel), "")


def _epilogue(kernel: Gemm | Codes | SparseProduct | BlockGemm | Convolve | Winograd, what: str) -> str:
    """Why what follows a product is part of it."""
    pooled = any(isinstance(one.op, MaxPool2d) for call in kernel.calls for one in parts(call))
    if not kernel.body.calls and not pooled:
        return ""
    rest = [call for call in kernel.body.calls if not isinstance(call.op, MaxPool2d)]
    verb = "follows" if len(rest) == 1 else "follow"
    text = f"{_named(rest)} {verb} the {what} element by element: done on its sums in registers"
    if not rest:
        text = f"the {what}'s sums are in registers"
    if pooled:
        return f"{text}, of which the largest of each 2x2 is stored"
    if any(isinstance(call.op, SGDUpdate) for call in rest):
        return f"{text}, so that the gradient is never stored"
    return f"{text}, before they are stored"


def _named(calls: Sequence[Call]) -> str:
    names = [call.op.name for call in calls]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def moved(kernel: Kernel) -> int:
    """Bytes that a kernel reads and writes, each element once; of tables the rows that are picked."""
    reads, writes = dict.fromkeys(kernel.reads), dict.fromkeys(kernel.writes)
    if isinstance(kernel, TakeRows):
        return 2 * _own(kernel.writes[0]) + _own(kernel.reads[1])
    if isinstance(kernel, SumRows):
        return sum(map(_own, (*reads, *writes))) + _own(kernel.reads[0])
    return sum(map(_own, (*reads, *writes)))


def _own(place: Place) -> int:
    """Bytes of a place's elements, those that it is stretched over once."""
    sizes = (n for n, stride in zip(place.shape, place.strides, strict=True) if stride or n == 0)
    return math.prod(sizes) * place.dtype.itemsize


def why_numpy(graph: Graph, call: Call) -> str:
    """Why a call is left to its op's own forward."""
    specs = [graph.specs[v] for v in (*call.inputs, *call.made)]
    names = {type(one.op).__name__ for one in parts(call)}
    if names & rules:
        return "a rule that a learner wrote is in force"
    if not set(map(type, (one.op for one in parts(call)))) & set(native_ops()):
        return "there is no kernel for it"
    if any(spec.size == 0 for spec in specs):
        return "it has no elements"
    odd = sorted({s.dtype.name for s in specs} - {"float32", "float64", "int64", "bool"})
    if odd:
        return f"its kernel takes no {' or '.join(odd)}"
    kinds = ", ".join(dict.fromkeys(s.dtype.name for s in specs))
    return f"its kernel does not take {describe(call.op)} of {kinds}"

"""The closed list of the ops that a program file may hold: any other is refused, in saving and in loading."""

from __future__ import annotations

from collections.abc import Iterable

from tinytorch.errors import ProgramError
from tinytorch.nn.embedding import Lookup
from tinytorch.ops import (
    activation,
    arithmetic,
    attention,
    batchnorm,
    blocks,
    compare,
    conv,
    elementwise,
    index,
    integer,
    matmul,
    norm,
    pool,
    quantize,
    quantized,
    random,
    reduce,
    rotary,
    shape,
    softmax,
    sparse,
    update,
)
from tinytorch.ops.base import Op

_FIRST: tuple[type[Op], ...] = (
    # element by element
    *(arithmetic.Add, arithmetic.Sub, arithmetic.Mul, arithmetic.Div, arithmetic.Pow),
    *(arithmetic.Maximum, arithmetic.Minimum, arithmetic.Neg, arithmetic.Abs, arithmetic.Sign),
    *(arithmetic.Copy, arithmetic.Clip, arithmetic.Cast),
    *(compare.Equal, compare.NotEqual, compare.Less, compare.LessEqual, compare.Greater),
    *(compare.GreaterEqual, compare.And, compare.Or, compare.Not, compare.Where),
    *(elementwise.Exp, elementwise.Log, elementwise.Sqrt, elementwise.Tanh, elementwise.Sigmoid),
    *(elementwise.Sin, elementwise.Cos, elementwise.Erf, elementwise.Relu, elementwise.ReluGrad),
    *(activation.GeluTanh, activation.GeluTanhGrad),
    # layout and index
    *(shape.Reshape, shape.Permute, shape.Expand, shape.Concat, shape.Pad, shape.Contiguous),
    *(index.Slice, index.SliceGrad, index.Take, index.TakeGrad, index.Gather, index.GatherGrad),
    *(index.Assign, Lookup),
    # reductions and products
    *(reduce.Sum, reduce.Mean, reduce.Max, reduce.Min, reduce.ArgMax),
    *(matmul.MatMul, matmul.Linear, matmul.LinearInputGrad, matmul.LinearWeightGrad),
    # layers
    *(conv.Conv2d, conv.Conv2dInputGrad, conv.Conv2dWeightGrad),
    *(pool.MaxPool2d, pool.MaxPool2dGrad, pool.MaxPool2dPick, pool.AvgPool2d, pool.AvgPool2dGrad),
    *(softmax.Softmax, softmax.LogSoftmax, softmax.CrossEntropy),
    *(norm.LayerNorm, norm.LayerNormGrad, batchnorm.BatchNorm, batchnorm.BatchNormGrad),
    *(attention.Attention, attention.AttentionGrad),
    # training and random numbers
    *(update.SGDUpdate, update.AdamUpdate, update.GlobalNorm, update.ScaleAll, random.Uniform),
)

_SECOND: tuple[type[Op], ...] = (
    *(quantize.Quantize, quantize.QuantizeRows, quantize.FakeQuantize),
    *(integer.IntMatMul, integer.IntConv2d, integer.GroupMatMul),
    *(quantized.LinearInt8, quantized.LinearInt4, quantized.Conv2dInt8),
    *(quantized.LookupInt8, quantized.LookupInt4),
)
"""Ops on codes, which came with version 2 of the format."""

_THIRD: tuple[type[Op], ...] = (sparse.LinearCSR, sparse.LinearBlocked)
"""Layers with sparse weights, which came with version 3."""

_FOURTH: tuple[type[Op], ...] = (
    *(blocks.QuantizeBlocks, blocks.BlockLinear, blocks.BlockLookup),
    rotary.Rotary,
)
"""Weights in blocks and rotary positions, which came with version 4. Ops on a cache are in no file: what they
read follows tables of pages, which no look at a file can vouch for."""

OPS: dict[str, type[Op]] = {kind.__name__.lower(): kind for kind in (*_FIRST, *_SECOND, *_THIRD, *_FOURTH)}
"""The ops by the name that they have in a file."""

_NAMES = {kind: name for name, kind in OPS.items()}
_VERSIONS = {
    _NAMES[kind]: number for number, kinds in ((2, _SECOND), (3, _THIRD), (4, _FOURTH)) for kind in kinds
}


def version_of(names: Iterable[str]) -> int:
    """The first version of the format that has all of these ops.

    >>> version_of(["relu"]), version_of(["relu", "linearint8"]), version_of(["linearcsr"])
    (1, 2, 3)
    """
    return max((_VERSIONS.get(name, 1) for name in names), default=1)


def name_of(op: Op) -> str:
    """The name of an op in a file; raises ProgramError, which names it, for one that is not on the list.

    >>> name_of(elementwise.Relu())
    'relu'
    """
    try:
        return _NAMES[type(op)]
    except KeyError:
        kind = type(op)
        raise ProgramError(
            f"the op {kind.__module__}.{kind.__qualname__} is not one that a program file may hold: the list "
            "is closed, so that files run without code of their own. Build the model from TinyTorch's ops."
        ) from None


def op_named(name: str) -> type[Op]:
    """The op that has this name in a file; raises ProgramError for one that is not on the list."""
    try:
        return OPS[name]
    except KeyError:
        raise ProgramError(f"there is no op named {name[:80]!r}") from None

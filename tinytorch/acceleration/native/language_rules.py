"""Which kernel computes which op of language models: weights in blocks, rotary positions, pages."""

from __future__ import annotations

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.kernels.blocks import BlockGemm, BlockRows, QuantizeEachBlock
from tinytorch.acceleration.native.kernels.lookup import CheckRange
from tinytorch.acceleration.native.kernels.paged import AttendPages, WritePages
from tinytorch.acceleration.native.kernels.rotary import TurnPairs
from tinytorch.acceleration.native.lower import Lowering, lowers
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.rules import dense, epilogue, fuses, matrix
from tinytorch.ops.blocks import BLOCK, BlockLinear, BlockLookup, QuantizeBlocks
from tinytorch.ops.paged import CacheWrite, PagedAttention
from tinytorch.ops.rotary import Rotary
from tinytorch.ops.shape import Reshape
from tinytorch.ops.spec import float16, float32, int8

_HEADS_INSIDE = (0, 2, 1, 3)
"""The order in memory in which the heads of a position lie beside each other."""


@fuses(BlockLinear)
@lowers(BlockLinear)
def block_product(low: Lowering, call: Call) -> bool:
    """A product with weights in blocks, and its epilogue."""
    first, body, extras = epilogue(low, call)
    op: BlockLinear = first.op  # type: ignore[assignment]
    out = body.specs[first.outputs[0]]
    if out.ndim != 2 or out.dtype != float32:
        return False
    reads = [dense(low, v) for v in first.inputs]
    outs = [low.new(v) for v in call.outputs]
    low.add(BlockGemm(op.format, reads, op.n, body, extras, outs, [call]))
    return True


@lowers(QuantizeBlocks)
def quantize_blocks(low: Lowering, call: Call) -> bool:
    """Codes of blocks of 32, each a row here."""
    if low.graph.specs[call.inputs[0]].dtype != float32:
        return False
    read = matrix(dense(low, call.inputs[0]), BLOCK)
    codes, scale, sums = (low.new(v) for v in call.outputs)
    beside = [place.seen_through(Reshape((read.shape[0],))) for place in (scale, sums)]
    assert beside[0] is not None, "a dense place takes any shape"
    assert beside[1] is not None, "a dense place takes any shape"
    low.add(QuantizeEachBlock(read, [matrix(codes, BLOCK), beside[0], beside[1]], [call]))
    return True


@lowers(BlockLookup)
def block_lookup(low: Lowering, call: Call) -> bool:
    op: BlockLookup = call.op  # type: ignore[assignment]
    table, ids = (dense(low, v) for v in call.inputs)
    low.check(CheckRange(ids, 0, op.n, None, [call]), call.inputs[1])
    low.add(BlockRows(op, [table, ids], low.new(call.outputs[0]), [call]))
    return True


@lowers(Rotary)
def rotary(low: Lowering, call: Call) -> bool:
    x, cos, sin, positions = (low.place(v) for v in call.inputs)
    if {x.dtype, cos.dtype, sin.dtype} != {float32}:
        return False
    if x.strides[3] != 1:
        x = dense(low, call.inputs[0])
    cos, sin, positions = (dense(low, v) for v in call.inputs[1:])
    low.check(CheckRange(positions, 0, cos.shape[0], None, [call]), call.inputs[3])
    low.add(TurnPairs(call.op, [x, cos, sin, positions], low.new(call.outputs[0], _HEADS_INSIDE), [call]))  # type: ignore[arg-type]
    return True


def _run(low: Lowering, value: int) -> Place:
    """A value whose last axis lies in one run: its own place, or a copy."""
    place = low.place(value)
    return place if place.strides[-1] == 1 else dense(low, value)


def _is_native(low: Lowering, pool: int, rows: int) -> bool:
    """Whether pages are of a dtype that kernels read, and queries, keys and values float32."""
    return low.graph.specs[pool].dtype in (float32, float16, int8) and low.graph.specs[rows].dtype == float32


@lowers(CacheWrite)
def write_pages(low: Lowering, call: Call) -> bool:
    """Into the pools where they lie: only where nothing reads them as they were."""
    op: CacheWrite = call.op  # type: ignore[assignment]
    if not _is_native(low, call.inputs[0], call.inputs[2]):
        return False
    old = [low.place(call.inputs[i]) for i in op.mutates]
    new = [low.new(v) for v in call.writes]
    if old != new or not all(place.contiguous for place in old):
        return False
    rows = [_run(low, v) for v in call.inputs[2:4]]
    others = [dense(low, v) for v in call.inputs[4:7]]
    low.add(WritePages(op, [*old[:2], *rows, *others, *old[2:]], new, [call]))
    return True


@lowers(PagedAttention)
def attend_pages(low: Lowering, call: Call) -> bool:
    if not _is_native(low, call.inputs[1], call.inputs[0]):
        return False
    q = _run(low, call.inputs[0])
    pools = [dense(low, v) for v in (*call.inputs[1:3], *call.inputs[6:])]
    others = [dense(low, v) for v in call.inputs[3:6]]
    write = low.new(call.outputs[0], _HEADS_INSIDE)
    low.add(AttendPages(call.op, [q, *pools[:2], *others, *pools[2:]], write, [call]))  # type: ignore[arg-type]
    return True

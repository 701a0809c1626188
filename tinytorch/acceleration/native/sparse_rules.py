"""Which kernel computes products with sparse weights."""

from __future__ import annotations

from tinytorch.acceleration.graph import Call
from tinytorch.acceleration.native.kernels.sparse import SparseBlocks, SparseProduct, SparseRows
from tinytorch.acceleration.native.lower import Lowering, lowers
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.rules import dense, epilogue, fuses, matrix
from tinytorch.ops.sparse import LinearBlocked, LinearCSR, check_columns, check_starts
from tinytorch.ops.spec import Array, float32


@fuses(LinearCSR, LinearBlocked)
@lowers(LinearCSR, LinearBlocked)
def sparse_product(low: Lowering, call: Call) -> bool:
    """A product with sparse weights and its epilogue; the weights must be fixed.

    The kernel reads columns and starts without a look at what they are. So it gets copies of its own, which
    are made, and then checked, before the first run and whenever a state that they come from has changed.
    """
    first, body, extras = epilogue(low, call)
    if len(first.inputs) > 4:
        return False
    x, *weight = first.inputs
    out = body.specs[first.outputs[0]]
    if out.dtype != float32 or out.ndim != 2 or not all(map(low.is_fixed, weight)):
        return False
    name, k, stored = first.op.name, low.graph.specs[x].shape[1], low.graph.specs[weight[0]].shape[0]

    def columns(array: Array) -> Array:
        return check_columns(name, array.copy(), k)

    def starts(array: Array) -> Array:
        return check_starts(name, array.copy(), stored)

    values, *ids = weight
    places = [_fixed(low, values)]
    places += [
        low.packed(v, low.graph.specs[v], make) for v, make in zip(ids, (columns, starts), strict=True)
    ]
    kind: type[SparseProduct] = SparseRows if isinstance(first.op, LinearCSR) else SparseBlocks
    rows = matrix(dense(low, x), k)
    outs = [low.new(v) for v in call.outputs]
    low.add(kind(rows, places, out.shape[1], body, extras, outs, [call]))
    return True


def _fixed(low: Lowering, value: int) -> Place:
    """A fixed value's place, row-major."""
    place = low.place(value)
    return place if place.contiguous else low.packed(value, low.graph.specs[value], lambda array: array)

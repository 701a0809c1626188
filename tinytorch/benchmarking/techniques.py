"""What was done to a model, told from its program alone: what it computes with, its zeros, its shapes.

Nothing that an entrant says counts here. What leaves no trace in a program, such as distillation, cannot be
found and is only ever "declared".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.benchmarking.result import Technique
from tinytorch.nn.embedding import Lookup
from tinytorch.ops.arithmetic import Cast
from tinytorch.ops.base import Op
from tinytorch.ops.blocks import BlockLinear
from tinytorch.ops.conv import Conv2d
from tinytorch.ops.integer import GroupMatMul, IntConv2d, IntMatMul
from tinytorch.ops.matmul import Linear, MatMul
from tinytorch.ops.quantized import Conv2dInt8, LinearInt4, LinearInt8, LookupInt4, LookupInt8
from tinytorch.ops.shape import Expand, Permute, Reshape
from tinytorch.ops.sparse import LinearBlocked, LinearCSR
from tinytorch.ops.spec import Array, Spec

INTEGER: tuple[type[Op], ...] = (LinearInt8, LinearInt4, Conv2dInt8, IntMatMul, IntConv2d, GroupMatMul)
SPARSE: tuple[type[Op], ...] = (LinearCSR, LinearBlocked)
PRODUCTS: tuple[type[Op], ...] = (Linear, Conv2d, MatMul, BlockLinear, *INTEGER, *SPARSE)
TABLES: tuple[type[Op], ...] = (Lookup, LookupInt8, LookupInt4)
LOOKS: tuple[type[Op], ...] = (Cast, Reshape, Permute, Expand)
SCALES = ("mul", "div", "add", "sub")
"""What codes go through on their way back to float32."""
FEWEST = 512
"""Elements of a weight from which zeros and distinct values say something."""
ZEROS, DISTINCT = 0.2, 256
"""Share of zeros from which a weight counts as pruned; values it may have at most to count as shared."""


def found_in(graph: Graph, baseline: Graph) -> list[Technique]:
    """All techniques that a program shows, each with the figures that show it."""
    looks = (integer_work(graph), stored_codes(graph), zeros(graph), low_rank(graph), shared(graph))
    return [one for one in (*looks, smaller(graph, baseline)) if one is not None]


# ---------------------------------------------------------------- one look each


def integer_work(graph: Graph) -> Technique | None:
    """Products of integers: their share of the work of all products; None where there is none.

    The work of a call among `products(graph)` is `_work(graph, call)`, in FLOPs; products of integers are
    those whose op is one of INTEGER. `_found` makes the technique "integer arithmetic", whose evidence
    begins with the share as a whole percentage and ends with the names of these ops, once each and sorted.
    """
    whole = part = 0
    for call in products(graph):
        work = _work(graph, call)
        whole += work
        part += work if isinstance(call.op, INTEGER) else 0
    if not part:
        return None
    kinds = sorted({call.op.name for call in graph.calls if isinstance(call.op, INTEGER)})
    return _found("integer arithmetic", f"{part / whole:.0%} of the work of products, in {', '.join(kinds)}")


def stored_codes(graph: Graph) -> Technique | None:
    """Weights of fewer bits, multiplied as float32: a smaller file, no faster product."""
    few: dict[str, int] = {}
    for call in products(graph):
        if isinstance(call.op, INTEGER):
            continue
        for _, array in _weights(graph, call):
            if array.size >= FEWEST and array.dtype.itemsize < 4 and array.dtype.kind in "if":
                few[str(array.dtype)] = few.get(str(array.dtype), 0) + array.nbytes
    if not few:
        return None
    kinds = ", ".join(f"{size:,} bytes of {dtype}" for dtype, size in sorted(few.items()))
    return _found("stored in fewer bits", f"{kinds}, multiplied as float32")


def zeros(graph: Graph) -> Technique | None:
    """Weights that are zeros, and whether a sparse kernel leaves them out or a dense one multiplies them.

    Where ops of SPARSE run it is "pruned, sparse kernels", and the evidence names them. Otherwise it is
    "pruned" if zeros are a share of ZEROS or more of the elements of `_all_weights(graph)`, and the evidence
    begins with that share as a whole percentage; zeros of a tensor in which they are fewer than that do not
    count. Else None.
    """
    sparse = sorted({call.op.name for call in graph.calls if isinstance(call.op, SPARSE)})
    none = total = 0
    for array in _all_weights(graph):
        empty = array.size - int(np.count_nonzero(array))
        total += array.size
        none += empty if empty >= ZEROS * array.size else 0
    if sparse:
        dense = f"; of the dense weights {none / total:.0%} are zeros" if none else ""
        return _found("pruned, sparse kernels", f"in {', '.join(sparse)}{dense}")
    if total and none / total >= ZEROS:
        return _found(
            "pruned", f"{none / total:.0%} of the weights are zeros, under dense kernels: smaller, not faster"
        )
    return None


def low_rank(graph: Graph) -> Technique | None:
    """Two products in a row with fewer features between them than on either side."""
    makers, found = graph.makers(), []
    for call in products(graph):
        before = _product_before(graph, makers, call)
        if before is None:
            continue
        inner = _width(graph, before, out=True)
        if inner < min(_width(graph, before, out=False), _width(graph, call, out=True)):
            found.append(inner)
    if not found:
        return None
    return _found("low rank", f"{len(found)} pairs of layers, of rank {min(found)} to {max(found)}")


def shared(graph: Graph) -> Technique | None:
    """Float weights that take few different values."""
    counts = []
    for array in _all_weights(graph):
        if array.dtype.kind == "f" and array.dtype.itemsize >= 4:
            distinct = len(np.unique(array))
            if distinct <= DISTINCT and distinct * 4 <= array.size:
                counts.append(distinct)
    if not counts:
        return None
    return _found(
        "shared weights", f"{len(counts)} layers with {min(counts)} to {max(counts)} different values"
    )


def smaller(graph: Graph, baseline: Graph) -> Technique | None:
    """Fewer multiplications than the baseline's, by shapes alone: layers that are narrower, or gone."""
    own, base = (sum(_dense_work(one, call) for call in products(one)) for one in (graph, baseline))
    layers = len(list(products(graph))), len(list(products(baseline)))
    if own >= 0.98 * base:
        return None
    what = f"{own / base:.0%} of the baseline's multiplications"
    return _found(
        "smaller shapes", what if layers[0] == layers[1] else f"{what}, {layers[0]} products for {layers[1]}"
    )


def _found(name: str, evidence: str) -> Technique:
    return Technique(name, "found", evidence)


# ---------------------------------------------------------------- looking at a graph


@dataclass(frozen=True)
class _Held:
    """A tensor of the program, through whatever only looks at it in another way."""

    value: int
    array: Array


def products(graph: Graph) -> Iterator[Call]:
    """The calls that multiply by weights: layers, not attention's own products."""
    for call in graph.calls:
        if isinstance(call.op, PRODUCTS) and any(True for _ in _weights(graph, call)):
            yield call


def _weights(graph: Graph, call: Call) -> Iterator[tuple[int, Array]]:
    """The weights of a product, with two axes or more, or the values of sparse ones."""
    makers = graph.makers()
    for value in call.inputs:
        held = _held(graph, makers, value)
        if held is not None and (held.array.ndim >= 2 or isinstance(call.op, SPARSE)):
            yield held.value, held.array


def _held(graph: Graph, makers: dict[int, int], value: int) -> _Held | None:
    """The tensor that a value is: as it is stored, looked at in another way, or scaled by further ones."""
    while value in makers:
        call = graph.calls[makers[value]]
        if isinstance(call.op, LOOKS):
            value = call.inputs[0]
            continue
        parts = [_held(graph, makers, v) for v in call.inputs] if call.op.name in SCALES else []
        known = [part for part in parts if part is not None]
        if not known or len(known) < len(call.inputs):
            return None
        return max(known, key=lambda part: part.array.size)
    if value in graph.states:
        return _Held(value, graph.states[value]._array)
    return _Held(value, graph.constants[value]) if value in graph.constants else None


def _all_weights(graph: Graph) -> list[Array]:
    """Each weight of a product or table once, if it is large enough to say something."""
    found: dict[int, Array] = {}
    makers = graph.makers()
    for call in graph.calls:
        if isinstance(call.op, SPARSE):
            continue
        if isinstance(call.op, PRODUCTS):
            found.update(_weights(graph, call))
        elif isinstance(call.op, TABLES):
            held = _held(graph, makers, call.inputs[0])
            if held is not None:
                found[held.value] = held.array
    return [array for array in found.values() if array.size >= FEWEST]


def _work(graph: Graph, call: Call) -> int:
    outs = tuple(graph.specs[v] for v in call.outputs)
    return (
        call.op.flops(outs if call.op.outputs > 1 else outs[0], *(graph.specs[v] for v in call.inputs)) or 0
    )


def _dense_work(graph: Graph, call: Call) -> int:
    """Multiplications of a product, zeros included: outputs times features summed over."""
    out = graph.specs[call.outputs[0]]
    if isinstance(call.op, Conv2d | Conv2dInt8 | IntConv2d):
        kernel = next(array for _, array in _weights(graph, call))
        return out.size * int(np.prod(kernel.shape[1:]))
    return out.size * _width(graph, call, out=False)


def _width(graph: Graph, call: Call, out: bool) -> int:
    """Features of what a product gives, or takes; channels of a convolution."""
    spec: Spec = graph.specs[call.outputs[0] if out else call.inputs[0]]
    return spec.shape[1] if isinstance(call.op, Conv2d | Conv2dInt8 | IntConv2d) else spec.shape[-1]


def _product_before(graph: Graph, makers: dict[int, int], call: Call) -> Call | None:
    """The product whose result a product takes, with nothing but other views and biases between."""
    value = call.inputs[0]
    while value in makers:
        maker = graph.calls[makers[value]]
        if isinstance(maker.op, PRODUCTS) and any(True for _ in _weights(graph, maker)):
            return maker
        if isinstance(maker.op, LOOKS) or maker.op.name in ("quantize", "quantizerows"):
            value = maker.inputs[0]
        elif maker.op.name == "add" and any(_held(graph, makers, v) is not None for v in maker.inputs):
            value = next(v for v in maker.inputs if _held(graph, makers, v) is None)
        else:
            return None
    return None

"""Preparation: what depends on weights alone is computed once, and scales go into the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.ops import arithmetic, conv, matmul
from tinytorch.ops.context import rules
from tinytorch.ops.index import Slice
from tinytorch.ops.shape import Layout, Reshape
from tinytorch.ops.spec import Spec, broadcast

_mul = arithmetic.Mul()


def fixed_values(graph: Graph) -> set[int]:
    """Values that are the same at every run, as long as no state changes from outside.

    What an op with a learner's rule makes is not among them: it runs where it stands.
    """
    found = {*graph.constants, *(v for v in graph.states if v not in graph.updates)}
    for call in (*graph.prologue, *graph.calls):
        plain = not call.op.mutates and type(call.op).__name__ not in rules
        if plain and call.inputs and found.issuperset(call.inputs):
            found.update(call.made)
    return found


def prepare(graph: Graph) -> Graph:
    """The graph with fixed calls that others rest on moved into its prologue; views stay too: they are free.

    Fixed calls that only a result rests on stay where they are: a function without inputs is a program too.
    """
    fixed = fixed_values(graph)
    needed = {v for call in graph.calls if not fixed.issuperset(call.made) for v in call.inputs}
    prologue: list[Call] = []
    calls: list[Call] = []
    for call in reversed(graph.calls):
        moves = fixed.issuperset(call.made) and not needed.isdisjoint(call.made)
        if moves:
            prologue.append(call)
            needed.update(call.inputs)
        if not moves or isinstance(call.op, Layout | Slice):
            calls.append(call)
    made = replace(graph, prologue=[*graph.prologue, *_worth(prologue[::-1])])
    return made.with_calls(calls[::-1])


def _worth(calls: list[Call]) -> list[Call]:
    """The calls without views at the end that no other of them reads: the program takes those itself."""
    kept: list[Call] = []
    read: set[int] = set()
    for call in reversed(calls):
        if not isinstance(call.op, Layout | Slice) or not read.isdisjoint(call.made):
            kept.append(call)
            read.update(call.inputs)
    return kept[::-1]


def fold_scales(graph: Graph) -> Graph:
    """The graph with products and convolutions that are scaled by fixed numbers given scaled weights.

    In evaluation mode batch norm is such a scale, and what it adds becomes the bias of the convolution.
    """
    graph = graph.with_calls(graph.calls)
    makers, users, fixed, kept = graph.makers(), graph.users(), fixed_values(graph), graph.results()
    replaced: dict[int, list[Call]] = {}
    gone: set[int] = set()

    def only(value: int) -> bool:
        return len(users.get(value, ())) == 1 and value not in kept

    for at, call in enumerate(graph.calls):
        if not isinstance(call.op, arithmetic.Mul) or "Mul" in rules:
            continue
        for value, scale in (call.inputs, call.inputs[::-1]):
            if scale not in fixed or value in fixed or not only(value):
                continue
            found = _scaled(graph, makers, fixed, only, call, value, scale)
            if found is not None:
                calls, positions = found
                if gone.isdisjoint(positions):
                    replaced[at] = calls
                    gone.update(positions)
                break
    calls = [one for at, call in enumerate(graph.calls) if at not in gone for one in replaced.get(at, [call])]
    return graph.with_calls(calls)


def _scaled(
    graph: Graph,
    makers: dict[int, int],
    fixed: set[int],
    only: Callable[[int], bool],
    call: Call,
    value: int,
    scale: int,
) -> tuple[list[Call], list[int]] | None:
    """The calls that stand for `value * scale`, and the positions of those that they replace."""
    at = makers.get(value)
    if at is None:
        return None
    maker, bias = graph.calls[at], None
    positions = [at]
    if isinstance(maker.op, arithmetic.Add):
        for inner, other in (maker.inputs, maker.inputs[::-1]):
            if other in fixed and inner in makers and only(inner):
                bias, at = other, makers[inner]
                maker = graph.calls[at]
                positions.append(at)
                break
    if (
        not isinstance(maker.op, conv.Conv2d | matmul.MatMul)
        or len(maker.inputs) != 2
        or maker.inputs[1] not in fixed
    ):
        return None
    out, shape = graph.specs[maker.outputs[0]], graph.specs[scale].shape
    axis = 1 if isinstance(maker.op, conv.Conv2d) else out.ndim - 1
    if out.ndim - len(shape) > axis and graph.specs[scale].size != 1:
        return None
    if any(n != 1 and i + out.ndim - len(shape) != axis for i, n in enumerate(shape)):
        return None
    weight = maker.inputs[1]
    spec = graph.specs[weight]
    size = graph.specs[scale].size
    form = (size, 1, 1, 1) if isinstance(maker.op, conv.Conv2d) else (size,)
    column, scaled = graph.new_value(Spec(form, spec.dtype)), graph.new_value(spec)
    made = [
        Call(Reshape(form), (scale,), (column,), (), call.path),
        Call(_mul, (weight, column), (scaled,), (), call.path),
    ]
    if bias is None:
        return [*made, replace(maker, inputs=(maker.inputs[0], scaled), outputs=call.outputs)], positions
    inner = graph.new_value(out)
    product = graph.new_value(Spec(broadcast("mul", graph.specs[bias].shape, shape), spec.dtype))
    made += [
        replace(maker, inputs=(maker.inputs[0], scaled), outputs=(inner,)),
        Call(_mul, (bias, scale), (product,), (), call.path),
        Call(arithmetic.Add(), (inner, product), call.outputs, (), call.path),
    ]
    return made, positions

"""Random small programs: what tests of the compiler run eagerly and compiled, and compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch.nn import functional
from tinytorch.ops.activation import gelu
from tinytorch.ops.shape import contiguous, expand, permute, reshape, squeeze, unsqueeze
from tinytorch.ops.spec import Array
from tinytorch.tensor import Tensor, from_numpy

LARGEST = 1e3
"""Values beyond it are brought back by tanh, so that no program overflows."""

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": lambda x: -x,
    "abs": lambda x: x.abs(),
    "relu": lambda x: x.relu(),
    "exp": lambda x: (x * 0.125).clip(-8.0, 4.0).exp(),
    "log": lambda x: (x.abs() + 1.0).log(),
    "sqrt": lambda x: (x.abs() + 0.25).sqrt(),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "erf": lambda x: x.erf(),
    "gelu": lambda x: gelu(x, "tanh"),
    "exact gelu": lambda x: gelu(x),
    "square": lambda x: x**2,
    "root": lambda x: (x.abs() + 0.5) ** -0.5,
    "half": lambda x: x * 0.5,
    "one more": lambda x: 1.0 + x,
    "from two": lambda x: 2.0 - x,
    "inverse": lambda x: 1.0 / (x.abs() + 1.0),
    "clip": lambda x: x.clip(-0.5, 0.75),
    "clone": lambda x: x.clone(),
    "contiguous": contiguous,
    "detached": lambda x: x.detach() * 1.5,
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (b.abs() + 1.0),
    "maximum": tt.maximum,
    "minimum": tt.minimum,
}
REDUCE: dict[str, Callable[..., Tensor]] = {
    "sum": lambda x, axis, keep: x.sum(axis, keep),
    "mean": lambda x, axis, keep: x.mean(axis, keep),
    "max": lambda x, axis, keep: x.max(axis, keep),
    "min": lambda x, axis, keep: x.min(axis, keep),
    "var": lambda x, axis, keep: x.var(axis, keepdims=keep),
}
ROWS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: tt.softmax(x, -1),
    "log_softmax": lambda x: tt.log_softmax(x, -1),
    "layer_norm": lambda x: functional.layer_norm(
        x, tt.ones(x.shape[-1], dtype=x.dtype), tt.zeros(x.shape[-1], dtype=x.dtype)
    ),
    "softmax 0": lambda x: tt.softmax(x, 0),
}
EXACT = {"neg", "abs", "relu", "half", "clip", "clone", "contiguous", "maximum", "minimum", "max", "min"}
"""Of exact operands these make exact results, which may decide something without fear of rounding."""


def picked(x: Tensor, rows: tuple[int, ...]) -> Tensor:
    return x[Tensor(np.array(rows, np.int64))]


def decided(a: Tensor, b: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return tt.where(a > b, x, y)


OTHERS: dict[str, Callable[..., Any]] = {
    "reshape": reshape,
    "permute": permute,
    "slice": lambda x, key: x[key],
    "expand": expand,
    "unsqueeze": unsqueeze,
    "squeeze": squeeze,
    "concat": lambda a, b, axis: tt.concat([a, b], axis),
    "pad": lambda x, widths, value: x.pad(widths, value),
    "matmul": lambda a, b: a @ b,
    "linear": lambda x, w: functional.linear(x, w),
    "pick": picked,
    "decide": decided,
    "argmax": lambda x, axis: x.argmax(axis),
    "dropout": lambda x, p: functional.dropout(x, p, True),
}
MOVES: dict[str, Callable[..., Any]] = {**UNARY, **BINARY, **REDUCE, **ROWS, **OTHERS}


@dataclass(frozen=True)
class Step:
    """One line: what to do, with which of the values so far, and how. "assign" changes a state instead."""

    move: str
    operands: tuple[int, ...]
    options: tuple[Any, ...] = ()


@dataclass
class RandomProgram:
    """Lines over inputs and states, values by number, and which of them are returned."""

    inputs: list[Array]
    states: list[Array]
    steps: list[Step] = field(default_factory=list)
    returned: tuple[int, ...] = ()

    def fresh_states(self) -> list[Tensor]:
        """The states with their first values."""
        return [Tensor(array) for array in self.states]

    def function(self, states: Sequence[Tensor]) -> Callable[..., tuple[Tensor, ...]]:
        """The program as a Python function of its inputs, over these states."""

        def run(*inputs: Tensor) -> tuple[Tensor, ...]:
            values = [*inputs, *states]
            for step in self.steps:
                execute(step, values, states, len(inputs))
            return tuple(values[i] for i in self.returned)

        return run

    def other_inputs(self, round_: int) -> list[Array]:
        """Inputs for a further call: the same elements in another order."""
        return [np.roll(a.reshape(-1), round_).reshape(a.shape) if a.size else a for a in self.inputs]


def execute(step: Step, values: list[Tensor], states: Sequence[Tensor], count: int) -> None:
    """Run one line, and append what it makes."""
    if step.move == "assign":
        target, source = step.operands
        with tt.no_grad():
            states[target - count].assign_(values[source].detach(), *step.options)
        return
    values.append(MOVES[step.move](*(values[i] for i in step.operands), *step.options))


# ---------------------------------------------------------------- drawing one


SHAPES: tuple[tuple[int, ...], ...] = (
    (),
    (1,),
    (3,),
    (5,),
    (1, 3),
    (4, 1),
    (4, 3),
    (5, 4),
    (3, 5),
    (2, 4, 3),
    (2, 1, 5),
    (17,),
    (8, 16),
    (0, 3),
)


@dataclass
class Drawing:
    """A program while it is being drawn: its values so far, and which of them are exact."""

    draw: Callable[..., Any]
    program: RandomProgram
    values: list[Tensor]
    states: list[Tensor]
    exact: list[bool]

    @property
    def count(self) -> int:
        return len(self.program.inputs)

    def one(self, fits: Callable[[Tensor], bool] = lambda _: True, exact: bool = False) -> int | None:
        """The number of a value that fits, later ones more often."""
        found = [
            i
            for i, t in enumerate(self.values)
            if t.dtype.kind == "f" and fits(t) and (self.exact[i] or not exact)
        ]
        if not found:
            return None
        return found[-1 - self.draw(st.integers(0, len(found) - 1))]

    def add(self, move: str, operands: tuple[int | None, ...], options: tuple[Any, ...] = ()) -> None:
        if None in operands:
            return
        numbers = tuple(i for i in operands if i is not None)
        step = Step(move, numbers, options)
        execute(step, self.values, self.states, self.count)
        self.program.steps.append(step)
        if move != "assign":
            exact = all(self.exact[i] for i in numbers)
            self.exact.append(
                exact and (move in EXACT or (move in OTHERS and move not in ("matmul", "linear", "dropout")))
            )
            made = self.values[-1]
            if made.size and made.dtype.kind == "f" and float(np.abs(made.numpy()).max()) > LARGEST:
                self.add("tanh", (len(self.values) - 1,))


def _unary(d: Drawing) -> None:
    d.add(d.draw(st.sampled_from(sorted(UNARY))), (d.one(),))


def _binary(d: Drawing) -> None:
    a = d.one()
    assert a is not None
    shape, dtype = d.values[a].shape, d.values[a].dtype
    b = d.one(lambda t: t.dtype == dtype and _broadcasts(shape, t.shape))
    operands = (a, b) if d.draw(st.booleans()) else (b, a)
    d.add(d.draw(st.sampled_from(sorted(BINARY))), operands)


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        return len(np.broadcast_shapes(a, b)) <= 4
    except ValueError:
        return False


def _reduce(d: Drawing) -> None:
    x = d.one(lambda t: t.ndim > 0 and t.size > 0)
    if x is None:
        return
    axis = d.draw(st.one_of(st.none(), st.integers(-d.values[x].ndim, d.values[x].ndim - 1)))
    d.add(d.draw(st.sampled_from(sorted(REDUCE))), (x,), (axis, d.draw(st.booleans())))


def _rows(d: Drawing) -> None:
    d.add(d.draw(st.sampled_from(sorted(ROWS))), (d.one(lambda t: t.ndim > 0 and t.size > 0),))


def _layout(d: Drawing) -> None:
    x = d.one()
    assert x is not None
    t, draw = d.values[x], d.draw
    kind = draw(st.sampled_from(["reshape", "permute", "slice", "expand", "unsqueeze", "squeeze", "pad"]))
    if kind == "reshape":
        shapes = {(-1,), (t.size,), (1, *t.shape), t.shape[::-1]} if t.size else {t.shape}
        d.add(kind, (x,), (draw(st.sampled_from(sorted(shapes))),))
    elif kind == "permute":
        d.add(kind, (x,), (tuple(draw(st.permutations(range(t.ndim)))),))
    elif kind == "slice" and t.ndim:
        d.add(kind, (x,), (tuple(_cut(draw, n) for n in t.shape[: draw(st.integers(1, t.ndim))]),))
    elif kind == "expand" and t.ndim < 3:
        shape = tuple(draw(st.integers(1, 3)) if n == 1 else n for n in t.shape)
        d.add(kind, (x,), ((draw(st.integers(1, 3)), *shape),))
    elif kind == "unsqueeze" and t.ndim < 4:
        d.add(kind, (x,), (draw(st.integers(0, t.ndim)),))
    elif kind == "squeeze":
        d.add(kind, (x,))
    elif kind == "pad" and t.ndim:
        d.add(kind, (x,), ([(draw(st.integers(0, 2)), draw(st.integers(0, 1))) for _ in t.shape], 0.5))


def _cut(draw: Callable[..., Any], n: int) -> Any:
    if n and draw(st.integers(0, 4)) == 0:
        return draw(st.integers(-n, n - 1))
    start, step = draw(st.integers(0, max(n - 1, 0))), draw(st.sampled_from([1, 1, 2, -1]))
    return slice(None, None, step) if step < 0 else slice(start, draw(st.integers(start, n)), step)


def _product(d: Drawing) -> None:
    a = d.one(lambda t: t.ndim >= 2)
    if a is None:
        return
    left = d.values[a]
    name = d.draw(st.sampled_from(["matmul", "linear"]))
    if name == "linear":
        b = d.one(lambda t: t.ndim == 2 and t.shape[1] == left.shape[-1] and t.dtype == left.dtype)
    else:
        b = d.one(
            lambda t: (
                t.ndim >= 2
                and t.shape[-2] == left.shape[-1]
                and t.dtype == left.dtype
                and _broadcasts(left.shape[:-2], t.shape[:-2])
            )
        )
    d.add(name, (a, b))


def _concat(d: Drawing) -> None:
    a = d.one(lambda t: t.ndim > 0)
    if a is None:
        return
    t = d.values[a]
    axis = d.draw(st.integers(0, t.ndim - 1))
    rest = (*t.shape[:axis], *t.shape[axis + 1 :])
    b = d.one(
        lambda o: o.ndim == t.ndim and (*o.shape[:axis], *o.shape[axis + 1 :]) == rest and o.dtype == t.dtype
    )
    d.add("concat", (a, b), (axis,))


def _pick(d: Drawing) -> None:
    x = d.one(lambda t: t.ndim > 0 and t.shape[0] > 0)
    if x is not None:
        n = d.values[x].shape[0]
        d.add("pick", (x,), (tuple(d.draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=5))),))


def _decide(d: Drawing) -> None:
    a = d.one(exact=True)
    if a is None:
        return
    shape, dtype = d.values[a].shape, d.values[a].dtype
    b = d.one(lambda t: t.dtype == dtype and _broadcasts(t.shape, shape), exact=True)
    both = np.broadcast_shapes(shape, d.values[b].shape) if b is not None else ()
    x = d.one(lambda t: _broadcasts(t.shape, both))
    if x is not None and b is not None:
        all_of_it = np.broadcast_shapes(both, d.values[x].shape)
        y = d.one(lambda t: t.dtype == d.values[x].dtype and _broadcasts(t.shape, all_of_it))
        d.add("decide", (a, b, x, y))


def _argmax(d: Drawing) -> None:
    x = d.one(lambda t: t.ndim > 0 and t.size > 0, exact=True)
    if x is not None:
        d.add("argmax", (x,), (d.draw(st.integers(0, d.values[x].ndim - 1)),))


def _assign(d: Drawing) -> None:
    if not d.states:
        return
    target = d.draw(st.integers(0, len(d.states) - 1))
    state = d.states[target]
    source = d.one(
        lambda t: (
            _broadcasts(t.shape, state.shape) and np.broadcast_shapes(t.shape, state.shape) == state.shape
        )
    )
    if source is not None:
        d.add("assign", (d.count + target, source))
        d.exact[d.count + target] = d.exact[source]


def _assign_part(d: Drawing) -> None:
    targets = [i for i, s in enumerate(d.states) if s.ndim and s.shape[0] > 1]
    if targets:
        target = d.draw(st.sampled_from(targets))
        rows = d.draw(st.sampled_from([0, slice(1, None), slice(None, None, 2)]))
        shape = d.states[target][rows].shape
        source = d.one(
            lambda t: (
                t.ndim <= len(shape)
                and _broadcasts(t.shape, shape)
                and np.broadcast_shapes(t.shape, shape) == shape
            )
        )
        if source is not None:
            d.add("assign", (d.count + target, source), ((rows,),))
            d.exact[d.count + target] &= d.exact[source]


def _dropout(d: Drawing) -> None:
    d.add("dropout", (d.one(lambda t: t.size > 0),), (0.5,))


CHANGES = (_assign, _assign_part)
DRAWS = (
    _unary,
    _unary,
    _unary,
    _binary,
    _binary,
    _binary,
    _reduce,
    _rows,
    _layout,
    _layout,
    _product,
    _concat,
    _pick,
    _decide,
    _argmax,
)


@st.composite
def programs(
    draw: Callable[..., Any], changes: bool = True, most: int = 14, random: bool = False
) -> RandomProgram:
    """A program of up to `most` lines; with `changes` it has states that it changes in place."""
    dtype = draw(st.sampled_from([np.float32, np.float32, np.float64]))
    shapes = st.sampled_from(SHAPES)

    def arrays(count: int) -> list[Array]:
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        return [(rng.integers(-24, 25, draw(shapes)) / 16).astype(dtype) for _ in range(count)]

    inputs, states = arrays(draw(st.integers(1, 3))), arrays(draw(st.integers(0, 2)))
    program = RandomProgram(inputs, states)
    live = program.fresh_states()
    values = [*map(Tensor, inputs), *live]
    d = Drawing(draw, program, values, live, [True] * len(values))
    moves = (*DRAWS, *(CHANGES if changes else ()), *((_dropout,) if random else ()))
    for _ in range(draw(st.integers(1, most))):
        draw(st.sampled_from(moves))(d)
    made = list(range(len(inputs) + len(states), len(d.values)))
    chosen = draw(st.lists(st.sampled_from(made), max_size=3, unique=True)) if made else []
    program.returned = tuple(dict.fromkeys([*chosen, len(d.values) - 1]))
    return program


def differ(got: Tensor, want: Tensor, tolerance: float = 2e-5) -> str:
    """How two results differ beyond what another order of sums explains, or nothing."""
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        return f"{got.dtype}{got.shape} instead of {want.dtype}{want.shape}"
    a, b = got.numpy().astype(np.float64), want.numpy().astype(np.float64)
    scale = max(1.0, float(np.abs(b).max())) if b.size else 1.0
    if np.allclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True):
        return ""
    return f"{a.tolist()} instead of {b.tolist()}"


__all__ = ["RandomProgram", "Step", "differ", "from_numpy", "programs"]

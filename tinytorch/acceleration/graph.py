"""Graph: a program as a list of op calls on numbered values, each made once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tinytorch.ops.base import Op
from tinytorch.ops.spec import Array, Spec
from tinytorch.tensor import Tensor


@dataclass(frozen=True)
class Call:
    """One op on values: `inputs` and `outputs` by number, and `writes`, what its changed inputs become.

    `writes` holds one new value for each of `op.mutates`: the old one stays what it was. An output that is a
    changed input itself (as that of `Assign`) has the number of what that input becomes.
    """

    op: Op
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    writes: tuple[int, ...] = ()
    path: str = ""
    backward: bool = False

    @property
    def made(self) -> tuple[int, ...]:
        """Every value that this call makes, once each."""
        return tuple(dict.fromkeys((*self.outputs, *self.writes))) if self.writes else self.outputs


@dataclass
class Graph:
    """Calls in an order in which they can run, over values that are numbered and each made once.

    A value is an input (given at each run), a state (the array of a live tensor, such as a weight), a
    constant, or made by a call. `updates` says which states a run changes, and into which value.

    >>> from tinytorch.ops.elementwise import Relu
    >>> from tinytorch.ops.spec import float32
    >>> row = Spec((4,), float32)
    >>> Graph({0: row, 1: row}, (0,), {}, {}, [Call(Relu(), (0,), (1,))], (1,))
    graph(v0: float32[4])
      v1: float32[4] = relu(v0)
      return v1
    """

    specs: dict[int, Spec]
    inputs: tuple[int, ...]
    states: dict[int, Tensor]
    constants: dict[int, Array]
    calls: list[Call]
    outputs: tuple[int, ...]
    updates: dict[int, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    prologue: list[Call] = field(default_factory=list)
    """Calls on states and constants alone, which run again only when such a state has changed."""

    # ------------------------------------------------------------ looking around

    def makers(self) -> dict[int, int]:
        """The position of the call that makes each value."""
        return {value: at for at, call in enumerate(self.calls) for value in call.made}

    def users(self) -> dict[int, list[int]]:
        """The positions of the calls that read each value, in order."""
        found: dict[int, list[int]] = {}
        for at, call in enumerate(self.calls):
            for value in dict.fromkeys(call.inputs):
                found.setdefault(value, []).append(at)
        return found

    def results(self) -> set[int]:
        """Values that outlive the run: outputs and what states become."""
        return {*self.outputs, *self.updates.values()}

    def new_value(self, spec: Spec) -> int:
        """A number for a further value of this spec."""
        number = max(self.specs, default=-1) + 1
        self.specs[number] = spec
        return number

    def constant(self, array: Array) -> int:
        """A further value that is this array."""
        number = self.new_value(Spec(array.shape, array.dtype))
        self.constants[number] = array
        return number

    # ------------------------------------------------------------ making another one

    def with_calls(
        self,
        calls: Sequence[Call],
        outputs: Sequence[int] | None = None,
        updates: Mapping[int, int] | None = None,
    ) -> Graph:
        """The same graph with other calls; states and constants that nothing reads are left out."""
        made = replace(
            self,
            calls=list(calls),
            outputs=tuple(self.outputs if outputs is None else outputs),
            updates=dict(self.updates if updates is None else updates),
        )
        read = (
            {v for call in (*made.prologue, *made.calls) for v in call.inputs}
            | made.results()
            | set(made.updates)
        )
        made.states = {v: t for v, t in self.states.items() if v in read}
        made.constants = {v: a for v, a in self.constants.items() if v in read}
        kept = read | {v for call in (*made.prologue, *made.calls) for v in call.made} | set(self.inputs)
        made.specs = {v: spec for v, spec in self.specs.items() if v in kept}
        made.names = {v: name for v, name in self.names.items() if v in kept}
        return made

    def renamed(self, calls: Sequence[Call], names: Mapping[int, int]) -> Graph:
        """The same graph with other calls, in which each value in `names` is replaced by another."""

        def new(values: Sequence[int]) -> tuple[int, ...]:
            return tuple(_followed(names, v) for v in values)

        changed = [
            call if names.keys().isdisjoint(call.inputs) else replace(call, inputs=new(call.inputs))
            for call in calls
        ]
        updates = {state: _followed(names, v) for state, v in self.updates.items()}
        return self.with_calls(changed, new(self.outputs), updates)

    # ------------------------------------------------------------ text

    def name(self, value: int) -> str:
        """How a value is called in text: `v7`, or the name of a weight."""
        return self.names.get(value, f"v{value}")

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        given = ", ".join(f"{self.name(v)}: {self.specs[v]}" for v in self.inputs)
        yield f"graph({given})"
        for kind, values in (("state", self.states), ("constant", self.constants)):
            for v in values:
                yield f"  {kind} {self.name(v)}: {self.specs[v]}"
        for prepared, call in [*((True, c) for c in self.prologue), *((False, c) for c in self.calls)]:
            made = ", ".join(f"{self.name(v)}: {self.specs[v]}" for v in call.made)
            notes = [call.path] * bool(call.path) + ["backward"] * call.backward + ["once"] * prepared
            remark = f"    # {', '.join(notes)}" if notes else ""
            yield f"  {made} = {_called(call.op)}({', '.join(map(self.name, call.inputs))}){remark}"
        for state, value in self.updates.items():
            yield f"  {self.name(state)} becomes {self.name(value)}"
        yield f"  return {', '.join(map(self.name, self.outputs))}"


def describe(op: Op) -> str:
    """An op's name with its fields: `sum[axis=(0,), keepdims=False]`."""
    fields = ", ".join(f"{key}={value!r}" for key, value in vars(op).items())
    return f"{op.name}[{fields}]" if fields else op.name


def _called(op: Op) -> str:
    """As `describe`; an op that holds calls is called by its name, which says what they are."""
    held = (value for field in vars(op).values() if isinstance(field, tuple) for value in field)
    return op.name if any(isinstance(value, Call) for value in held) else describe(op)


def _followed(names: Mapping[int, int], value: int) -> int:
    while value in names:
        value = names[value]
    return value

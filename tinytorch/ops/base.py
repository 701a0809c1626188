"""What an op is, and the one place where arrays are computed: everything else watches ops run."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from tinytorch.errors import DTypeError, GradientError, TinyTorchError
from tinytorch.ops.allocations import allocations as allocations
from tinytorch.ops.context import OpEvent, State, context, rules
from tinytorch.ops.meta import blank
from tinytorch.ops.spec import RANK, Array, Spec, bool_, float32, int64, result_type

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

Gradient: TypeAlias = "Tensor | Callable[[], Tensor] | None"


class Ghost(Spec):
    """What a node keeps of an input whose data backward does not need: its spec and where it came from."""

    __slots__ = ("_node", "requires_grad")

    def __init__(self, tensor: Tensor) -> None:
        self.shape = tensor._array.shape
        self.dtype = tensor._array.dtype
        self.requires_grad = tensor.requires_grad
        self._node = tensor._node


class Node:
    """One op that ran with gradients on: its inputs, what `vjp` keeps of its outputs, its module."""

    __slots__ = ("__weakref__", "aux", "epoch", "inputs", "op", "out", "path")

    def __init__(
        self,
        op: Op,
        inputs: tuple[Tensor | Ghost, ...],
        out: Array | None,
        aux: tuple[Array, ...],
        path: str,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.out = out
        self.aux = aux
        self.path = path
        self.epoch = clock.now

    def free(self) -> None:
        """Let go of inputs and outputs once backward has used them; a node without inputs is a freed one."""
        self.inputs, self.out, self.aux = (), None, ()


_array_of = operator.attrgetter("_array")


class _Clock:
    """Counts in-place changes, so that a stale copy of a tensor's data can be recognised."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0


clock = _Clock()
"""The clock of this process."""


class _Registry:
    """Places that files of higher lessons fill on import."""

    tensor: type[Tensor]
    make: Callable[[Array], Tensor]
    backward: Callable[..., None]


registry = _Registry()


class Op:
    """One computation on arrays: what it computes, how its gradient flows, what it costs, how to test it.

    A subclass with parameters is a dataclass that holds them as fields and holds nothing else.
    """

    keeps: ClassVar[tuple[int, ...] | None] = None
    """Inputs whose data `vjp` reads (None: all); it sees a `Spec` of the others."""
    keeps_output: ClassVar[bool] = False
    """Whether `vjp` reads the data of output 0. Further outputs are always kept: they are for it."""
    outputs: ClassVar[int] = 1
    """Number of outputs; only output 0 carries a gradient."""
    mutates: ClassVar[tuple[int, ...]] = ()
    """Inputs that `forward` changes in place."""
    is_view: ClassVar[bool] = False
    """Whether the output may share memory with input 0."""
    numpy_checks: ClassVar[bool] = False
    """NumPy refuses what `infer` refuses, so `infer` need only run to explain a failure."""
    fuses: ClassVar[tuple[str, ...]] = ()
    """Ops, by name, that `composite` is made of; where one has a learner's rule, `composite` runs instead."""
    higher_order: ClassVar[str] = "vjp"
    """What gradients of gradients go through: "vjp", or "composite" where `vjp` calls ops without one."""
    samples: ClassVar[Sequence[Any]] = ()
    """Shapes of inputs to test with, or a `Sample` where parameters, dtypes or values matter."""

    def infer(self, *inputs: Any, **_: Any) -> Any:
        """Specs in, specs out; raises ShapeError or DTypeError; touches no data."""
        raise NotImplementedError(f"{type(self).__name__} has no infer")

    def forward(self, *inputs: Any, **_: Any) -> Any:
        """Arrays in, array (or tuple of arrays) out."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def vjp(self, *g_out_and_inputs: Any, **_: Any) -> tuple[Gradient, ...]:
        """Gradients of the inputs from that of output 0: Tensors, or functions called where one is wanted."""
        raise GradientError(f"{self.name} has no gradient. Use detach() on its inputs if none is wanted.")

    def flops(self, *out_and_inputs: Any, **_: Any) -> int | None:
        """Work in FLOPs from specs alone, a multiply-add as 2; None lists the op as uncounted."""
        return None

    def matmul_flops(self, *out_and_inputs: Any, **_: Any) -> int:
        """Of `flops`, those of matrix products and convolutions, which published figures count."""
        return 0

    def bytes(self, out: Any, *inputs: Any) -> int:
        """Bytes that the algorithm reads and writes, from specs alone; a view moves none."""
        if self.is_view:
            return 0
        written: Any = [inputs[i] for i in self.mutates] or (out if self.outputs > 1 else (out,))
        return sum(spec.nbytes for spec in (*inputs, *written))

    def visible(self, *out_and_inputs: Any, **_: Any) -> tuple[int, int]:
        """Pairs of query and key that a causal mask leaves, and all pairs: work is in their proportion."""
        return 1, 1

    def composite(self, *inputs: Any, **_: Any) -> Any:
        """The same result out of simpler ops; fused ops have it."""
        raise NotImplementedError(f"{type(self).__name__} has no composite form")

    @property
    def name(self) -> str:
        """The op's name in errors and tables, in lower case."""
        return type(self).__name__.lower()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Compute output 0, and record the op for backward where a gradient is wanted."""
        state = context.state
        if state.watched or self.outputs > 1:
            return self.all(*inputs)[0]
        if not self.numpy_checks:
            self.infer(*inputs)
            if self.mutates:
                self._refuse_recording(state, inputs)
        try:
            out = registry.make(self.forward(*map(_array_of, inputs)))
        except (ValueError, IndexError, TypeError):
            self._explain(inputs)
            raise
        if state.grad:
            for t in inputs:
                if t.requires_grad:
                    self._record(state, inputs, out, ())
                    break
        if self.is_view:
            out._base = owner(inputs[0])
        elif self.mutates:
            self._mutated(inputs)
        return out

    def all(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute all outputs, with the kernel of the chosen backend, and tell the observers."""
        state = context.state
        if state.meta:
            return self._all_meta(state, inputs)
        if not self.numpy_checks:
            self.infer(*inputs)
        if self.mutates:
            self._refuse_recording(state, inputs)
        kernel = None
        if rules and self.steps_aside():
            return (self.composite(*inputs),)
        if state.watched and type(self).__name__ not in rules:
            kernel = state.kernels.get(type(self))
        start = time.perf_counter_ns()
        try:
            arrays = [*map(_array_of, inputs)]  # a tuple from map() fills CPython's pools: seeming memory
            result = self.forward(*arrays) if kernel is None else kernel(self, *arrays)
        except (ValueError, IndexError, TypeError):
            self._explain(inputs)
            raise
        end = time.perf_counter_ns()
        results = (result,) if self.outputs == 1 else result
        outs = (*map(registry.make, results),)
        if state.grad:
            for t in inputs:
                if t.requires_grad:
                    self._record(state, inputs, outs[0], tuple(results[1:]))
                    break
        if self.is_view:
            outs[0]._base = owner(inputs[0])
        elif self.mutates:
            self._mutated(inputs)
        for observer in state.observers:
            observer.on_op(OpEvent(self, inputs, outs, state.path, state.backward, start, end))
        return outs

    def steps_aside(self) -> bool:
        """Whether a learner wrote the rule of an op that is part of this one, but not this one's own."""
        return type(self).__name__ not in rules and not rules.isdisjoint(self.fuses)

    def _all_meta(self, state: State, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """All outputs as shapes and dtypes alone; nothing is computed, and nothing changed in place."""
        start = time.perf_counter_ns()
        specs = self.infer(*inputs)
        if self.mutates:
            self._refuse_recording(state, inputs)
        arrays = tuple(map(blank, specs if self.outputs > 1 else (specs,)))
        outs = tuple(map(registry.make, arrays))
        if state.grad and any(t.requires_grad for t in inputs):
            self._record(state, inputs, outs[0], arrays[1:])
        if self.is_view:
            outs[0]._base = owner(inputs[0])
        end = time.perf_counter_ns()
        for observer in state.observers:
            observer.on_op(OpEvent(self, inputs, outs, state.path, state.backward, start, end))
        return outs

    def _explain(self, inputs: tuple[Tensor, ...]) -> None:
        """Raise the error that says in TinyTorch's terms why NumPy refused, if `infer` knows."""
        try:
            self.infer(*inputs)
        except TinyTorchError as error:
            raise error from None

    def _refuse_recording(self, state: State, inputs: tuple[Tensor, ...]) -> None:
        if state.grad and any(t.requires_grad for t in inputs):
            raise GradientError(f"{self.name} changes a tensor in place: call it under no_grad()")

    def _record(self, state: State, inputs: tuple[Tensor, ...], out: Tensor, aux: tuple[Array, ...]) -> None:
        if out._array.dtype.kind != "f":
            return
        kept: tuple[Tensor | Ghost, ...] = inputs
        if self.keeps is not None:
            keeps = self.keeps
            kept = tuple(
                t if i in keeps or (t.requires_grad and t._node is None) else Ghost(t)
                for i, t in enumerate(inputs)
            )
        out._node = Node(self, kept, out._array if self.keeps_output else None, aux, state.path)
        out.requires_grad = True

    def _mutated(self, inputs: tuple[Tensor, ...]) -> None:
        clock.now += 1
        for index in self.mutates:
            owner(inputs[index])._epoch = clock.now


def unchanged_since(node: Node) -> bool:
    """Whether no tensor at all was changed in place since the op ran."""
    return node.epoch == clock.now


def owner(tensor: Tensor) -> Tensor:
    """The tensor whose memory this one looks at: itself unless it is a view."""
    return tensor if tensor._base is None else tensor._base


def epoch_of(tensor: Tensor) -> int:
    """When the memory of this tensor was last changed in place."""
    return owner(tensor)._epoch


# ---------------------------------------------------------------- arguments


def lift(value: Any, like: Tensor | None = None) -> Tensor:
    """A Tensor from a Tensor, array or number; a number takes the dtype of `like` where that can hold it."""
    if isinstance(value, registry.tensor):
        return value
    if isinstance(value, bool | int | float):
        dtype = int64 if isinstance(value, int) else float32
        dtype = bool_ if isinstance(value, bool) else dtype
        if like is not None:
            dtype = dtype if RANK[dtype.kind] > RANK[like.dtype.kind] else like.dtype
        try:
            return registry.make(np.asarray(value, dtype))
        except OverflowError:
            raise DTypeError(
                f"{value} does not fit into {dtype}. Cast the tensor with .to() first."
            ) from None
    return registry.tensor(value)


def promote(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both operands as Tensors of one dtype; at least one of them is a Tensor already."""
    if isinstance(a, registry.tensor):
        b = lift(b, a)
    else:
        b = lift(b)
        a = lift(a, b)
    if a.dtype != b.dtype:
        dtype = result_type(a.dtype, b.dtype)
        a, b = a.to(dtype), b.to(dtype)
    return a, b


class Sample:
    """Inputs to test an op with: shapes (or arrays where values matter) and the range of random values.

    `op` is None for an op without parameters, which is then made without any.
    """

    def __init__(
        self, op: Op | None, *inputs: Any, low: float = -2.0, high: float = 2.0, differentiable: bool = True
    ) -> None:
        self.op, self.inputs = op, inputs
        self.low, self.high, self.differentiable = low, high, differentiable

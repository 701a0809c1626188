"""FLOPs and bytes of the ops that a model runs, counted from shapes without computing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tinytorch import console
from tinytorch.errors import MetaError
from tinytorch.nn.module import Module
from tinytorch.ops.context import OpEvent, grad_mode, meta, observe
from tinytorch.ops.spec import Spec
from tinytorch.profiling.counting.call import (
    as_before,
    counted_subject,
    explained,
    have_data,
    reads_values,
    start_backward,
)
from tinytorch.profiling.counting.formulas import Count, Formulas
from tinytorch.profiling.subject import Subject
from tinytorch.profiling.tree import ancestors, in_order, modules_by_path
from tinytorch.tensor import Tensor


class OpCost(NamedTuple):
    """Work of one op: `flops` in convention "all" (None: it has no rule), those of products, bytes moved."""

    flops: int | None
    matmul_flops: int
    bytes: int


def cost_of(event: OpEvent, causal: bool = False) -> OpCost:
    """What an op that was observed costs, by its own rules, from shapes and dtypes alone.

    An op's rules are `flops`, `matmul_flops` and `bytes`. Each takes `out` and then the inputs as a Spec each
    (a shape and a dtype); for an op with more than one output, as `op.outputs` says, `out` is the tuple of
    their Specs. `flops` may give None: the op has no rule, which is not the same as 0. With `causal`, both
    kinds of FLOPs shrink to the pairs that may attend: of `op.visible`, which takes the same, the first
    number over the second (over 1 where that is 0), as whole FLOPs, rounded down; bytes stay.
    """
    op = event.op
    outputs = tuple(Spec(t.shape, t.dtype) for t in event.outputs)
    specs = (outputs if op.outputs > 1 else outputs[0], *(Spec(t.shape, t.dtype) for t in event.inputs))
    flops, products = op.flops(*specs), op.matmul_flops(*specs)
    if causal:
        seen, pairs = op.visible(*specs)
        products = products * seen // max(pairs, 1)
        flops = None if flops is None else flops * seen // max(pairs, 1)
    return OpCost(flops, products, op.bytes(*specs))


# ---------------------------------------------------------------- what is found


@dataclass
class _Sum:
    """What several ops add up to."""

    calls: int = 0
    flops: int = 0
    matmul_flops: int = 0
    bytes: int = 0

    def add(self, cost: OpCost, flops: int) -> None:
        self.calls += 1
        self.flops += flops
        self.matmul_flops += cost.matmul_flops
        self.bytes += cost.bytes


@dataclass(frozen=True)
class ModuleWork:
    """Work of one module: `self_*` of the ops that ran in it, the rest with the modules below it.

    `calls`: ops that ran in the module itself. `parameters`: elements; a shared one counts where it is first.
    """

    path: str
    kind: str
    depth: int
    calls: int
    self_flops: int
    flops: int
    self_matmul_flops: int
    matmul_flops: int
    self_bytes: int
    bytes: int
    parameters: int

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte moved; None where nothing moves."""
        return self.flops / self.bytes if self.bytes else None


@dataclass(frozen=True)
class OpWork:
    """Work of all ops of one name; `counted` is False where the op has no rule."""

    name: str
    calls: int
    flops: int
    matmul_flops: int
    bytes: int
    counted: bool

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte moved; None where nothing moves."""
        return self.flops / self.bytes if self.bytes else None


class FLOPs(Count):
    """Work of a model or callable: a `Count` (so an int) with a tree by module and a table by op.

    `parts` are by op. `coverage`: the share of ops that have a rule; those without are in `uncounted`, with
    calls, and are no part of any sum. `backward_flops`: the part that gradients took.
    """

    name: str = ""
    convention: str = "matmul"
    causal: bool = False
    matmul_flops: int = 0
    backward_flops: int = 0
    by_module: tuple[ModuleWork, ...] = ()
    by_op: tuple[OpWork, ...] = ()
    uncounted: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the ops that have a rule; 1 where no op ran."""
        calls = sum(row.calls for row in self.by_op)
        return 1 - sum(self.uncounted.values()) / calls if calls else 1.0

    def __repr__(self) -> str:
        from tinytorch.profiling.counting.text import text  # rich is a heavy import, which only people need

        return text(self)

    __str__ = __repr__


class _Row(NamedTuple):
    path: str
    op: str
    backward: bool
    cost: OpCost


@dataclass
class _Watch:
    """An observer that notes what each op costs, and the leaves that `backward` gives gradients to."""

    causal: bool
    backward: bool
    rows: list[_Row] = field(default_factory=list)
    leaves: dict[int, tuple[Tensor, Tensor | None]] = field(default_factory=dict)

    def on_op(self, event: OpEvent) -> None:
        """Count one op."""
        self.rows.append(_Row(event.path, event.op.name, event.backward, cost_of(event, self.causal)))
        self.note(event.inputs)

    def on_exit(self, tensor: Tensor, how: str) -> None:
        """Values may leave where there are any; that is no op."""

    def note(self, tensors: Sequence[Tensor]) -> None:
        """Take the gradients that leaves have now away for the length of the run: adding to them is no work
        of the model's."""
        for t in tensors if self.backward else ():
            if t.requires_grad and t.is_leaf and id(t) not in self.leaves:
                self.leaves[id(t)], t.grad = (t, t.grad), None


# ---------------------------------------------------------------- the counter


class FLOPCounter(Formulas):
    """Counts FLOPs and bytes: of layers by formula (`count_linear`, ...), of models by the ops they run.

    `convention`: "matmul" counts matrix products and convolutions, as published figures do; "all" counts
    every op by the table in docs/conventions.md. Attention counts in full; with `causal`, attention that is
    causal counts only pairs that may attend. `dtype` is what formulas count bytes in.
    Raises ProfilingError for a convention that does not exist.

    >>> from tinytorch.models import MLP
    >>> int(FLOPCounter().count(MLP((784, 128, 10)), input_shape=(32, 784)))
    6504448
    """

    def count(
        self,
        model: Callable[..., Any],
        input_shape: Sequence[int] | None = None,
        inputs: Any = None,
        dtype: Any = None,
        backward: bool = False,
    ) -> FLOPs:
        """Work of `model(x)`, a Module or any callable on tensors, and with `backward` of its gradients.

        Give an `input_shape` (its dtype: `dtype`, else that of the model's `example_input`, else of its
        parameters), or `inputs`: a tensor, a sequence of arguments, or a mapping of named ones; a model that
        has an `example_input` needs neither. Only shapes are worked out, under `meta()`, and nothing changes,
        gradients included. Where the model reads values, it runs once for real, if `inputs` have data, and
        `notes` say so. Backward starts at the first tensor returned.

        Raises ProfilingError for inputs that cannot be made, ShapeError and DTypeError where they do not fit.
        """
        subject = counted_subject(model, input_shape, inputs, dtype)
        notes: list[str] = []
        try:
            with explained(subject, input_shape):
                rows = self._run(subject, backward, shapes_only=True)
        except MetaError as error:
            if not have_data((*subject.args, *subject.kwargs.values())):
                raise reads_values(subject, error) from error
            notes.append("the model reads values, so it ran once for real: buffers and generators moved on")
            console.notice(f"count: {subject.name}: {notes[0]}")
            try:
                rows = self._run(subject, backward, shapes_only=False)
            except MetaError as again:
                raise reads_values(subject, again) from again
        return self._result(subject, rows, notes)

    def _run(self, subject: Subject, backward: bool, shapes_only: bool) -> list[_Row]:
        model, watch = subject.model, _Watch(self.causal, backward)
        watch.note(list(model.parameters()) if model is not None else [])
        try:
            with (
                meta() if shapes_only else nullcontext(),
                as_before(model),
                observe(watch),
                grad_mode(True) if backward else nullcontext(),
            ):
                out = subject.call()
                if backward:
                    start_backward(subject.name, out)
        finally:
            for leaf, gradient in watch.leaves.values():
                leaf.grad = gradient
        return watch.rows

    def _result(self, subject: Subject, rows: Sequence[_Row], notes: Sequence[str]) -> FLOPs:
        total, backward = _Sum(), 0
        ops: dict[str, _Sum] = {}
        own: dict[str, _Sum] = {}
        whole: dict[str, _Sum] = {}
        uncounted: Counter[str] = Counter()
        for row in rows:
            flops = row.cost.matmul_flops if self.convention == "matmul" else row.cost.flops or 0
            sums = [total, ops.setdefault(row.op, _Sum()), own.setdefault(row.path, _Sum())]
            sums += [whole.setdefault(path, _Sum()) for path in ancestors(row.path)]
            for one in sums:
                one.add(row.cost, flops)
            backward += flops if row.backward else 0
            uncounted.update([row.op] if row.cost.flops is None else [])
        found = FLOPs(
            total.flops, total.matmul_flops // 2, total.bytes, {name: one.flops for name, one in ops.items()}
        )
        found.name, found.convention, found.causal = subject.name, self.convention, self.causal
        found.matmul_flops, found.backward_flops = total.matmul_flops, backward
        found.by_module = _tree(subject.model, own, whole)
        found.by_op = tuple(
            OpWork(name, one.calls, one.flops, one.matmul_flops, one.bytes, name not in uncounted)
            for name, one in sorted(ops.items(), key=lambda item: (-item[1].flops, -item[1].bytes))
        )
        found.uncounted, found.notes = dict(uncounted), tuple(notes)
        return found


def _tree(model: Module | None, own: Mapping[str, _Sum], whole: Mapping[str, _Sum]) -> tuple[ModuleWork, ...]:
    """A row for each module with ops in or below it, each below its parent."""
    modules = modules_by_path(model) if model is not None else {}
    parameters: Counter[str] = Counter()
    for name, tensor in model.named_parameters() if model is not None else ():
        for path in ancestors(name.rpartition(".")[0]):
            parameters[path] += tensor.size
    nothing = _Sum()
    out = []
    for path in in_order(modules, own):
        mine, all_of_it = own.get(path, nothing), whole.get(path, nothing)
        out.append(
            ModuleWork(
                path=path,
                kind=type(modules[path]).__name__ if path in modules else "",
                depth=len(ancestors(path)) - 1,
                calls=mine.calls,
                self_flops=mine.flops,
                flops=all_of_it.flops,
                self_matmul_flops=mine.matmul_flops,
                matmul_flops=all_of_it.matmul_flops,
                self_bytes=mine.bytes,
                bytes=all_of_it.bytes,
                parameters=parameters[path],
            )
        )
    return tuple(out)

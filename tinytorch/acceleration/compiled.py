"""tinytorch.compile: a function or model that is traced once and runs as one program from then on."""

from __future__ import annotations

import contextlib
import copy
import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from tinytorch import console
from tinytorch.acceleration.arguments import Slot, UntraceableError, mapped, require_known, taken_out
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.naming import state_names
from tinytorch.acceleration.reach import Reach
from tinytorch.acceleration.runner import Interpreted, make_runner
from tinytorch.acceleration.situation import Situation
from tinytorch.acceleration.trace import Traced, Tracer, trace
from tinytorch.acceleration.variant import Variant
from tinytorch.acceleration.walk import Wrapper
from tinytorch.errors import ProgramError
from tinytorch.ops.base import clock
from tinytorch.ops.context import State, context
from tinytorch.ops.meta import NoData
from tinytorch.tensor import Tensor

if TYPE_CHECKING:
    from tinytorch.acceleration.explain import Explanation
    from tinytorch.acceleration.native.program import Program

MOST_VARIANTS = 16
"""Programs that are kept for one function: calls of further kinds run eagerly."""
MOST_CHANGES = 3
"""Traces in a row in which the function changes what only Python sees, before it is left to run eagerly."""


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Leave out Python's search for circular garbage: a fifth of the time to compile went into it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Compiled(Wrapper):
    """A function that runs as a program; made by `compile`.

    A call with new shapes, dtypes, Python values or modes (training, gradients on or off) is traced: it
    runs eagerly once and is written down. What cannot be written down goes on running eagerly; `reasons`
    says why. Weights stay live. Attributes of a compiled model are those of the model.
    """

    def __init__(self, function: Callable[..., Any], keep_grads: bool = False) -> None:
        own = self.__dict__  # what is set by name goes to the function
        own.update(function=function, __wrapped__=function, keep_grads=keep_grads, reasons=[])
        own.update(_variants=[], _last=None, _changes=0, _lock=threading.RLock())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        here = context.state
        last: Variant | None = self._last
        if last is not None and not kwargs and not here.watched:
            if last.shortcut is not None:
                found = last.shortcut(args, here.grad)
                if found is not None:
                    return found
            if last.accepts(args, here.grad):
                with self._lock:
                    result = last.run(args)
                    last.find_shortcut()
                    return result
            others = (v for v in reversed(self._variants) if v.runner and v.accepts(args, here.grad))
            last = next(others, None)
            if last is not None:
                with self._lock:
                    self.__dict__["_last"] = last
                    return last.run(args)
        return self._call(here, args, kwargs)

    def _call(self, here: State, args: Any, kwargs: Any) -> Any:
        if (
            here.meta
            or here.backend not in ("numpy", "compiled")
            or any(isinstance(o, Tracer) for o in here.observers)
        ):
            return self.function(*args, **kwargs)
        tree = [list(args), kwargs]
        try:
            require_known(tree, "argument")
        except UntraceableError as error:
            return self._eager(str(error), args, kwargs)
        skeleton, tensors = taken_out(tree)
        if any(isinstance(t._array, NoData) for t in tensors):
            return self.function(*args, **kwargs)
        with self._lock:
            variant = self._find(skeleton, tensors, here.grad)
            if variant is not None and variant.runner is not None:
                self.__dict__["_last"] = variant
                return variant.run(tensors, watched=here.watched)
            # whoever watches would see the ops of a trace, and might keep what they made
            if not here.observers and self._may_trace(variant):
                with without_collector():
                    return self._trace(variant, skeleton, args, kwargs)
        return self.function(*args, **kwargs)

    def _find(self, skeleton: Any, tensors: Sequence[Tensor], grad: bool) -> Variant | None:
        fitting = (v for v in reversed(self._variants) if v.situation.fits(skeleton, tensors, grad))
        return next(fitting, None)

    # ------------------------------------------------------------ tracing

    def _may_trace(self, variant: Variant | None) -> bool:
        if variant is not None:
            return not variant.refusal
        if self._changes >= MOST_CHANGES:
            return False
        if len(self._variants) >= MOST_VARIANTS:
            self._note(
                f"there were {MOST_VARIANTS} kinds of calls; further ones run eagerly. Pad inputs to few "
                "shapes, and keep numbers that change in tensors"
            )
            return False
        return True

    def _trace(self, waiting: Variant | None, skeleton: Any, args: Any, kwargs: Any) -> Any:
        """Run a call eagerly and write it down; compile it, unless it may not come again."""
        grad = context.state.grad
        roots = (self.function, *_objects(skeleton))
        reach = Reach(*roots)
        traced = trace(self.function, args, kwargs, reach)
        if traced.changed:
            self._note_change(traced.changed)
            return traced.result
        self.__dict__["_changes"] = 0
        if not reach.unchanged():  # a first step may have made an optimizer's state
            reach = Reach(*roots)
        variant = Variant(Situation(skeleton, traced, reach, grad), traced)
        known = [v for v in self._variants if v is not waiting and not v.refusal]
        alike = [v for v in known if v.situation.similar(traced.arguments, grad)]
        again = waiting is not None or any(
            v.waits
            and v.situation.alike(skeleton, traced.arguments, grad)
            and v.situation.same_but_gradients()
            for v in alike
        )
        changes = any(v.runner is not None for v in alike) and not again
        variant.waits = changes or (waiting is None and _may_accumulate(traced))
        if traced.refusal:
            self._note(traced.refusal)
        elif not variant.waits:
            traced.graph.names.update(state_names(traced.graph, reach.modules, reach.optimizers))
            variant.compile(traced, make_runner, self.keep_grads, self._lock)
            self.__dict__["_last"] = variant
            variant.drop_gradients(traced.arguments)
            known = [v for v in known if v.runner is not None or not v.situation.same_but_gradients()]
        refused = [v for v in self._variants if v.refusal]
        self.__dict__["_variants"] = [*refused, *known, variant]
        return traced.result

    def _note_change(self, changed: str) -> None:
        self.__dict__["_changes"] += 1
        if self._changes > 1:  # once may be a table that is filled at the first call
            self._note(f"{changed} while it runs, which a program would not do")

    def _eager(self, reason: str, args: Any, kwargs: Any) -> Any:
        self._note(reason)
        return self.function(*args, **kwargs)

    def _note(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)
            console.notice(f"compile: {self._name} runs eagerly: {reason}.")

    # ------------------------------------------------------------ standing in for the function

    @property
    def _name(self) -> str:
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.function, name)
        if not isinstance(found, MethodType) or found.__self__ is not self.function:
            return found

        def method(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            return self if result is self.function else result

        return method

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.function, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.function, name)

    def __copy__(self) -> Compiled:
        return Compiled(copy.copy(self.function), self.keep_grads)

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        return Compiled(copy.deepcopy(self.function, memo), self.keep_grads)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise ProgramError(
            f"{self!r} cannot be pickled. Store the model's state_dict, or the graph with save_graph()"
        )

    # ------------------------------------------------------------ looking inside

    def _variant(self) -> Variant:
        last: Variant | None = self._last
        if last is None:
            why = f": {self.reasons[-1]}" if self.reasons else ". Call it first; a training step twice"
            raise ProgramError(f"{self._name} has no program yet{why}")
        return last

    @property
    def graph(self) -> Graph:
        """The graph of the last call's program; raises ProgramError before the first."""
        return self._variant().graph

    @property
    def source(self) -> str:
        """The last call's program as Python, loop by loop: a module that runs, slowly, and gives the same.

        The backward program of a call that has a gradient is not in it. Raises ProgramError without one.
        """
        from tinytorch.acceleration.native.source import render

        program = self._program()
        return render(program, program.graph.names)

    @property
    def llvm(self) -> str:
        """The last call's program as the LLVM instructions that it is compiled from."""
        from tinytorch.acceleration.native.module import emit_module

        return str(emit_module(self._program().layout))

    def explain(self) -> Explanation:
        """What became of the last call's ops: kernels, why fused, memory; or why it runs eagerly."""
        from tinytorch.acceleration.explain import Explanation, explain

        last: Variant | None = self._last
        if last is None or last.before is None:
            return Explanation(self._name, reasons=tuple(self.reasons))
        backward = None
        if last.backward is not None and last.backward.program is not None:
            backward = explain(last.backward.graph, last.backward.program, name="backward")
        program = None if isinstance(last.runner, Interpreted) else self._program()
        return explain(last.before, program, name=self._name, backward=backward, reasons=self.reasons)

    def save(self, path: str | Path, *, compact: bool = False) -> None:
        """Write the last call's graph and weights to a file that `load_program` reads, whole or not at all.

        `compact`: entropy-coded, smaller and slower to read. Raises ProgramError without a program, and for
        ops that files have no place for.
        """
        from tinytorch.acceleration.artifact import save_graph

        forward = self._variant().forward
        assert forward is not None, "a variant with a program has a graph"
        save_graph(forward, path, name=self._name, compact=compact)

    def kernel_seconds(self, runs: int, *tensors: Tensor) -> float:
        """Seconds of a run without the way in from Python, the median of `runs`, on such tensors."""
        arrays = [np.ascontiguousarray(t._array) for t in tensors]
        with self._lock:
            return self._program().kernel_seconds(runs, arrays, clock.now)

    def _program(self) -> Program:
        """The last call's native program; raises ProgramError if NumPy runs it."""
        runner = self._variant().runner
        if runner is None or isinstance(runner, Interpreted):
            raise ProgramError(f"{self._name} runs on NumPy: there is no code to show without llvmlite")
        return cast("Program", runner)

    def __repr__(self) -> str:
        programs = sum(variant.runner is not None for variant in self._variants)
        return f"compiled({self._name}, {programs} program{'s' if programs != 1 else ''})"


def _objects(skeleton: Any) -> list[Any]:
    """The objects among the arguments, whose attributes a function may read."""
    found: list[Any] = []
    mapped(skeleton, lambda value: None if type(value) is Slot else found.append(value))
    return found


def _may_accumulate(traced: Traced) -> bool:
    """Whether a leaf got a gradient that may have been added to one of before, had there been one."""
    unsure = {id(t) for t in traced.absent}
    return any(number is not None and id(leaf) in unsure for leaf, number in traced.gradients)


def compile(function: Callable[..., Any], *, keep_grads: bool = False) -> Compiled:
    """`function`, a model or a Python function of tensors, as one that runs as a compiled program.

    >>> from tinytorch.models import MLP
    >>> model = MLP((4, 3))
    >>> fast = compile(model)
    >>> x = Tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> fast(x).shape, bool((abs(fast(x) - model(x)) < 1e-6).data.all())
    ((1, 3), True)
    """
    return Compiled(function, keep_grads)

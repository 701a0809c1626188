"""ProfilerContext: one call profiled in time, memory and FLOPs, each in passes of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np

from tinytorch import console
from tinytorch.autograd import topological_order
from tinytorch.errors import ProfilingError
from tinytorch.nn.module import Module
from tinytorch.ops.context import OpEvent, grad_mode, observe, state
from tinytorch.profiling import environment
from tinytorch.profiling.advice.advisor import insights
from tinytorch.profiling.advice.hotspots import hotspots
from tinytorch.profiling.hardware.roofline import measure_roof
from tinytorch.profiling.memory.profiler import measure_memory, memory_at_rest
from tinytorch.profiling.profile import Hotspot, MemoryUse, Profile, Roof, Timing
from tinytorch.profiling.rows import (
    Costs,
    Times,
    all_work,
    coverage,
    module_rows,
    op_rows,
    slices,
    typical,
    uncounted,
)
from tinytorch.profiling.significance import ratio
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.subject import Subject, subject_of
from tinytorch.profiling.timing.timer import Stopwatch, collector_off, timing_of
from tinytorch.profiling.trace import NS, OpCosts, OpTimer, Pass
from tinytorch.random import Generator, default_generator
from tinytorch.tensor import Tensor
from tinytorch.threads import get_num_threads

ONE_AT_A_TIME = threading.Lock()
NOTE_ONE_RUN = (
    "one run: no intervals, no percentiles and no memory; what a first call alone does, and the cost of "
    "watching, are in its time"
)


@dataclass(frozen=True)
class Settings:
    """How much to measure. `runs`: passes that nobody watches; as many, but at least 20, are watched."""

    runs: int = 30
    warmup: int = 3
    memory: bool = True
    roof: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (self.runs, self.warmup))
        if not whole or self.runs < 1 or self.warmup < 0:
            raise ProfilingError(
                f"profile: runs={self.runs}, warmup={self.warmup}; expected runs >= 1 and warmup >= 0"
            )

    @property
    def watched(self) -> int:
        """Passes that are watched."""
        return max(20, self.runs)


class ProfilerContext:
    """Profiles calls made through it, and says what it found on leaving: time, memory, FLOPs, insights.

    Time, memory and FLOPs are separate passes, so a function runs many times. `runs=1` is for functions with
    side effects: it runs once, and the report says what that cannot show. One profile at a time in a
    process: each would measure the other. Raises ProfilingError for `runs` below 1, and when entered twice.

    >>> from tinytorch.models import MLP
    >>> with ProfilerContext("small", runs=5, roof=False, report=False) as profiler:
    ...     result = profiler.profile_function(MLP((4, 3)).forward)
    >>> result.shape, profiler.profile.flops
    ((1, 3), 27)
    """

    def __init__(
        self,
        name: str = "",
        runs: int = 30,
        warmup: int = 3,
        *,
        memory: bool = True,
        roof: bool = True,
        report: bool = True,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.settings = Settings(runs, warmup, memory, roof, seed)
        self.report = report
        self.profiles: list[Profile] = []
        self._entered = False

    @property
    def profile(self) -> Profile:
        """The last profile; raises ProfilingError before the first."""
        if not self.profiles:
            raise ProfilingError("profile: nothing was profiled yet. Call profile_function(f) first.")
        return self.profiles[-1]

    def __enter__(self) -> ProfilerContext:
        if self._entered:
            raise ProfilingError(f"ProfilerContext {self.name!r} is entered already; make another one")
        self._entered = True
        self.profiles = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        if self.report and kind is None:
            for profile in self.profiles:
                console.say(repr(profile))
            if not self.profiles:
                console.say(f"{self.name or 'profile'}: nothing was profiled")

    def profile_function(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Profile `function(*args, **kwargs)` and return what its first call returned.

        A model, or its `forward`, without arguments takes its `example_input`: `subject_of` sees to that, and
        `profile_subject` measures the subject by `self.settings`. The profile goes to the end of
        `self.profiles`, under this context's name where it has one. An error of the function passes through
        and leaves nothing behind.
        """
        profile, result = profile_subject(subject_of(function, args, kwargs), self.settings)
        self.profiles.append(replace(profile, name=self.name or profile.name))
        return result


def profile_model(
    model: Any,
    args: Sequence[Any] | None = None,
    *,
    backward: bool = False,
    name: str = "",
    **settings: Any,
) -> Profile:
    """Profile a model's pass, or with `backward` a pass and its gradients, and return the profile.

    Settings are those of `Settings`. Gradients of the parameters are the same afterwards as before.
    """
    subject = subject_of(model, args)
    if not backward:
        profile, _ = profile_subject(subject, Settings(**settings))
    else:
        gradients = _Gradients(subject)
        try:
            passes = replace(subject, call=gradients.call)
            profile, _ = profile_subject(passes, Settings(**settings), "backward")
        finally:
            gradients.restore()
    return replace(profile, name=name or profile.name)


def profile_subject(subject: Subject, settings: Settings, mode: str = "") -> tuple[Profile, Any]:
    """The profile of a call, and what its first call returned.

    `mode`: what a pass is, in a word; "forward" for a model and "callable" for anything else, if not given.
    """
    if state().meta:
        raise ProfilingError("profile: under meta() nothing is computed. Leave the block to profile a call.")
    if not ONE_AT_A_TIME.acquire(blocking=False):
        raise ProfilingError(
            "profile: another profile is being taken in this process (by another thread, or by the function "
            "itself). Each would measure the other: take them one after the other."
        )
    try:
        take = _once if settings.runs == 1 else _take
        return take(subject, settings, mode or ("callable" if subject.model is None else "forward"))
    finally:
        ONE_AT_A_TIME.release()


# ---------------------------------------------------------------- the passes


def _take(subject: Subject, settings: Settings, mode: str) -> tuple[Profile, Any]:
    """All passes, one after the other, and the profile put together."""
    counter = OpCosts()
    result = counter.run(subject.call)
    with _state_restored(subject.model):
        for again in range(settings.warmup, 0, -1):
            if again == 1:  # a first call may do what no later one does, as one that is traced
                counter.run(subject.call)
            else:
                subject.call()
        timing, overhead, passes = _time(subject, settings, watch=bool(counter.rows))
        memory = measure_memory(subject) if settings.memory else None
        spots = () if counter.rows else hotspots(subject.call)
    found = _put_together(subject, settings, mode, timing, overhead, passes, counter.rows, memory, spots)
    return found, result


def _time(
    subject: Subject, settings: Settings, watch: bool
) -> tuple[Timing, Estimate | None, tuple[Pass, ...]]:
    """Unwatched passes with watched ones strewn among them, so that what drifts drifts for both."""
    rng = np.random.default_rng(settings.seed)
    kinds = np.zeros(settings.runs + (settings.watched if watch else 0), bool)
    kinds[settings.runs :] = True
    rng.shuffle(kinds)
    timer, clock = OpTimer(), Stopwatch()
    passes: list[Pass] = []
    watched: list[float] = []
    with (
        memory_at_rest(),
        collector_off(),
        console.progress(len(kinds), f"profile {subject.name}", "passes") as bar,
    ):
        for number, is_watched in enumerate(kinds, 1):
            if is_watched:
                one, _ = timer.run(subject.call)
                passes.append(one)
                watched.append((one.end - one.start) * NS)
            else:
                clock.time(subject.call)
            bar.update(number)
    overhead = ratio(watched, clock.samples).estimate() if watch else None
    return timing_of(clock, settings.warmup), overhead, tuple(passes)


def _once(subject: Subject, settings: Settings, mode: str) -> tuple[Profile, Any]:
    """A single call, watched: its ops are timed, and what they cost follows from the shapes."""
    counter, clock = OpCosts(), Stopwatch()
    timer = OpTimer(counter)
    one, result = clock.time(lambda: timer.run(subject.call))
    passes = (one,) if counter.rows else ()
    profile = _put_together(
        subject, settings, mode, timing_of(clock, 0), None, passes, counter.rows, None, ()
    )
    return replace(profile, notes=(NOTE_ONE_RUN, *profile.notes)), result


def _put_together(
    subject: Subject,
    settings: Settings,
    mode: str,
    timing: Timing | None,
    overhead: Estimate | None,
    passes: tuple[Pass, ...],
    costs: Costs,
    memory: MemoryUse | None,
    spots: tuple[Hotspot, ...],
) -> Profile:
    surroundings = environment.describe()
    roof: Roof | None = measure_roof(get_num_threads()) if settings.roof and costs else None
    times = Times(passes)
    modules = module_rows(times, costs, subject.model, memory, roof) if costs else ()
    work = all_work(costs)
    profile = Profile(
        name=subject.name,
        kind="TinyTorch model" if subject.model is not None else "callable",
        mode=mode,
        date=surroundings.date,
        configuration=_configuration(subject, settings),
        environment=surroundings.as_dict(),
        timing=timing,
        overhead=overhead,
        flops=work.flops,
        matmul_flops=work.matmul_flops,
        bytes=work.bytes,
        coverage=coverage(costs),
        uncounted=uncounted(costs),
        modules=modules,
        ops=op_rows(times, costs) if costs else (),
        timeline=slices(typical(passes), costs) if passes else (),
        memory=memory,
        roof=roof,
        hotspots=spots,
        notes=surroundings.warnings,
        passes={row.path: times.own(row.path) for row in modules},
    )
    return replace(profile, insights=insights(profile))


def _configuration(subject: Subject, settings: Settings) -> dict[str, str]:
    """What the figures depend on, as text."""
    inputs = [
        f"{t.dtype}{list(t.shape)}"
        for t in (*subject.args, *subject.kwargs.values())
        if isinstance(t, Tensor)
    ]
    out = {
        "inputs": ", ".join(inputs) or "none",
        "runs": str(settings.runs),
        "threads": str(get_num_threads()),
    }
    if subject.model is not None:
        out["parameters"] = f"{subject.model.num_parameters():,}"
        out["recorded for backward"] = "yes" if state().grad else "no"
    return out


# ---------------------------------------------------------------- backward, and one at a time


class _Gradients:
    """A call followed by the gradients of its result, from ones; `.grad` starts empty each time.

    The leaves that take gradients are noted in the first pass, and get back what they had by `restore`.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._before: dict[int, tuple[Tensor, Tensor | None]] = {}
        self._call = self._first

    def call(self) -> Any:
        """One pass."""
        return self._call()

    def restore(self) -> None:
        """Give all leaves the gradients that they had before the first pass."""
        for leaf, gradient in self._before.values():
            leaf.grad = gradient

    def on_op(self, event: OpEvent) -> None:
        """Note leaves that an op takes."""
        self._note(event.inputs)

    def _note(self, tensors: Iterable[Any]) -> None:
        for t in tensors:
            if isinstance(t, Tensor) and t.requires_grad and t.is_leaf:
                self._before.setdefault(id(t), (t, t.grad))

    def on_exit(self, tensor: Tensor, how: str) -> None:
        """Values may leave; that is no op."""

    def _first(self) -> Any:
        with observe(self):
            out = self._subject.call()
        first = out[0] if isinstance(out, tuple) else out
        if isinstance(first, Tensor) and first._node is not None:  # a compiled call takes them unseen
            self._note(t for node in topological_order(first._node) for t in node.inputs)
        self._call = self._again
        return self._backward(out)

    def _again(self) -> Any:
        return self._backward(self._subject.call())

    def _backward(self, out: Any) -> Any:
        for leaf, _ in self._before.values():
            leaf.grad = None
        first = out[0] if isinstance(out, tuple) else out
        if not isinstance(first, Tensor):
            raise ProfilingError(
                f"{self._subject.name} returns {type(first).__name__}; backward needs a Tensor"
            )
        first.backward(Tensor(np.ones(first.shape, first.dtype)))
        return out


@contextmanager
def _state_restored(model: Module | None) -> Iterator[None]:
    """What a pass moves by itself (buffers, random streams) is afterwards as it was before."""
    moving = [default_generator.state]
    if model is not None:
        moving += [tensor for _, tensor in model.named_buffers()]
        held = (value for module in model.modules() for value in vars(module).values())
        moving += [value.state for value in held if isinstance(value, Generator)]
    with grad_mode(False):
        before = [tensor.clone() for tensor in moving]
    try:
        yield
    finally:
        for tensor, value in zip(moving, before, strict=True):
            tensor.assign_(value)

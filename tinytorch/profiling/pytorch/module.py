"""Profiling a torch.nn.Module: time by module, FLOPs and bytes by our own rules, and the same report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinytorch import console
from tinytorch.errors import ProfilingError
from tinytorch.profiling import environment
from tinytorch.profiling.advice.advisor import insights
from tinytorch.profiling.context import NOTE_ONE_RUN, ONE_AT_A_TIME, Settings
from tinytorch.profiling.hardware.roofline import measure_roof
from tinytorch.profiling.profile import OpRow, Profile, Timing
from tinytorch.profiling.pytorch.follow import under
from tinytorch.profiling.pytorch.watch import OpWatch, TorchFollower, torch_package
from tinytorch.profiling.rows import (
    Costs,
    Times,
    all_work,
    coverage,
    op_rows,
    rows_by_path,
    slices,
    typical,
    uncounted,
)
from tinytorch.profiling.significance import ratio
from tinytorch.profiling.subject import subject_of
from tinytorch.profiling.timing.timer import Stopwatch, collector_off, timing_of
from tinytorch.profiling.trace import NS, Key, Pass

NOTE_OPS = (
    "times of ops and kernels are from passes of their own, with the call from Python into each; the rest of "
    "what PyTorch does for an op (dispatch, autograd) is in the times of modules"
)
NOTE_MEMORY = "memory is not measured: tracemalloc does not see the tensors of PyTorch"


@dataclass(frozen=True)
class Step:
    """A pass of a module, and with `backward` the gradients of its result from a cotangent of ones."""

    module: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    backward: bool

    def __call__(self, follower: TorchFollower | None = None) -> Any:
        """Run it; a follower is told where gradients begin."""
        if self.backward:
            for leaf in self.leaves():
                leaf.grad = None
        out = self.module(*self.args, **self.kwargs)
        if self.backward:
            first = _differentiable(out, type(self.module).__name__)
            if follower is not None:
                follower.follow_back(first)
            first.backward(torch_package().ones_like(first))
        return out

    def tensors(self) -> list[Any]:
        """Arguments that are tensors."""
        given = (*self.args, *self.kwargs.values())
        return [value for value in given if isinstance(value, torch_package().Tensor)]

    def leaves(self) -> list[Any]:
        """Parameters and arguments that get gradients."""
        return [*self.module.parameters(), *(t for t in self.tensors() if t.requires_grad and t.is_leaf)]


def profile_torch(
    module: Any,
    args: Sequence[Any] = (),
    *,
    kwargs: Mapping[str, Any] | None = None,
    runs: int = 30,
    warmup: int = 3,
    backward: bool = False,
    name: str = "",
    memory: bool = True,
    roof: bool = True,
) -> Profile:
    """Profile `module(*args, **kwargs)`, a torch.nn.Module on the CPU, and return the profile.

    It runs as it is: in its own mode of training, with gradients recorded or not as the caller has it, with
    as many threads as torch.get_num_threads says. With `backward`, a pass is the module and the gradients of
    the first tensor it returns. Hooks are off again afterwards, and buffers, gradients and PyTorch's random
    stream as they were. `runs=1` runs it once. Memory is not measured: with `memory`, a note says so.

    Raises ProfilingError where PyTorch is missing, for what is no torch.nn.Module, for arguments that do not
    fit, for tensors elsewhere than on the CPU, and while another profile is being taken.
    """
    settings = Settings(runs, warmup, memory, roof)
    step = step_of(module, args, kwargs, backward)
    if not ONE_AT_A_TIME.acquire(blocking=False):
        raise ProfilingError("profile: another profile is being taken in this process; take them in turn")
    try:
        with gradients_on(backward), state_restored(step):
            profile = (_once if runs == 1 else _take)(step, settings, name or type(module).__name__)
    finally:
        ONE_AT_A_TIME.release()
    return replace(profile, insights=insights(profile))


def step_of(module: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None, backward: bool) -> Step:
    """The pass that is meant, checked before anything runs."""
    torch = torch_package()
    if not isinstance(module, torch.nn.Module):
        raise ProfilingError(
            f"profile_torch: {type(module).__name__} is not a torch.nn.Module. profile_model profiles models "
            "of TinyTorch, ProfilerContext any function."
        )
    if not isinstance(args, list | tuple):
        raise ProfilingError(f"profile_torch: args is {type(args).__name__}; expected a tuple, as args=(x,)")
    subject_of(module.forward, args, kwargs)
    step = Step(module, tuple(args), dict(kwargs or {}), backward)
    compiler = sys.modules.get("torch._dynamo.eval_frame")  # nothing was compiled before it is there
    if compiler is not None and any(isinstance(one, compiler.OptimizedModule) for one in module.modules()):
        raise ProfilingError(
            "profile_torch: torch.compile made one program of this module, in which modules cannot be told "
            "apart. Profile the module that was compiled."
        )
    for tensor in (*module.parameters(), *module.buffers(), *step.tensors()):
        if tensor.device.type != "cpu":
            raise ProfilingError(
                f"profile_torch: a tensor is on {tensor.device}, where work is done after the call returns. "
                "Only modules on the CPU are profiled: move module and inputs with .to('cpu')."
            )
    return step


# ---------------------------------------------------------------- the passes


def _take(step: Step, settings: Settings, name: str) -> Profile:
    """All passes, those that are watched strewn among those that are not."""
    follower = TorchFollower(step.module)
    counter, timer = OpWatch(follower, count=True), OpWatch(follower)
    counter.run(lambda: step(follower))
    for _ in range(settings.warmup):
        step()
    kinds = np.repeat(("unwatched", "modules", "ops"), (settings.runs, settings.watched, settings.watched))
    np.random.default_rng(settings.seed).shuffle(kinds)
    clock = Stopwatch()
    modules: list[Pass] = []
    ops: list[Pass] = []
    watched: list[float] = []
    with collector_off(), console.progress(len(kinds), f"profile {name}", "passes") as bar:
        for number, kind in enumerate(kinds, 1):
            if kind == "unwatched":
                clock.time(step)
            elif kind == "modules":
                one, _ = follower.run(lambda: step(follower))
                modules.append(one)
                watched.append((one.end - one.start) * NS)
            else:
                ops.append(timer.run(lambda: step(follower))[0])
            bar.update(number)
    overhead = ratio(watched, clock.samples).estimate()
    timing = timing_of(clock, settings.warmup)
    profile = _put_together(step, settings, name, timing, modules, ops, counter.rows)
    return replace(profile, overhead=overhead, notes=(*profile.notes, NOTE_OPS))


def _once(step: Step, settings: Settings, name: str) -> Profile:
    """A single call: its ops are timed and counted, and the Python before an op goes with it."""
    follower, clock = TorchFollower(step.module), Stopwatch()
    watch = OpWatch(follower, count=True)
    one, _ = clock.time(lambda: watch.run(lambda: step(follower)))
    profile = _put_together(step, settings, name, timing_of(clock, 0), [one], [one], watch.rows)
    return replace(profile, notes=(NOTE_ONE_RUN, *profile.notes))


class _ModuleTimes(Times):
    """Times by module from passes that follow modules; what of them is inside kernels, from other passes."""

    def __init__(self, modules: Sequence[Pass], ops: Times) -> None:
        super().__init__(modules)
        self._ops = ops

    def kernel(self, wanted: Callable[[Key], bool]) -> float:
        """Median of the seconds inside kernels."""
        return self._ops.kernel(wanted)


def kernels_of(one: Pass, seconds: float) -> Pass:
    """The kernels of a pass one after the other, and the rest of so many seconds behind them.

    >>> from tinytorch.profiling.pytorch.follow import NamedOp
    >>> from tinytorch.profiling.trace import Record
    >>> pass_ = Pass(0, 900, (Record("a", NamedOp("mm"), False, 100, 300, 310, 420),))
    >>> whole, _ = kernels_of(pass_, 500e-9).self_times()
    >>> [(key.path, key.op, round(spent * 1e9)) for key, spent in whole.items()]
    [('a', 'mm', 200), ('', '', 300)]
    """
    now, records = 0, []
    for record in one.records:
        start, now = now, now + record.end - record.start
        records.append(record._replace(start=start, end=now, seen=now, done=now))
    return Pass(0, max(now, round(seconds / NS)), tuple(records))


def _put_together(
    step: Step,
    settings: Settings,
    name: str,
    timing: Timing,
    modules: Sequence[Pass],
    ops: Sequence[Pass],
    costs: Costs,
) -> Profile:
    torch = torch_package()
    surroundings = environment.describe()
    roof = measure_roof(torch.get_num_threads()) if settings.roof and costs else None
    op_times = Times([kernels_of(one, timing.p50.value) for one in ops])
    times = _ModuleTimes(modules, op_times)
    kinds, parameters = _of_module(step.module)
    rows = rows_by_path(times, costs, kinds, parameters, None, roof)
    work = all_work(costs)
    return Profile(
        name=name,
        kind="PyTorch module",
        mode="backward" if step.backward else "forward",
        date=surroundings.date,
        configuration=_configuration(step, settings),
        environment=surroundings.as_dict(),
        timing=timing,
        overhead=None,
        flops=work.flops,
        matmul_flops=work.matmul_flops,
        bytes=work.bytes,
        coverage=coverage(costs),
        uncounted=uncounted(costs),
        modules=rows,
        ops=_named(op_rows(op_times, costs)),
        timeline=slices(typical(ops), costs),
        roof=roof,
        notes=(*surroundings.warnings, *((NOTE_MEMORY,) if settings.memory else ())),
        passes={row.path: tuple(times.per_pass(under({row.path}))) for row in rows},
    )


def _named(rows: Sequence[OpRow]) -> tuple[OpRow, ...]:
    return tuple(row for row in rows if row.name)


def _of_module(module: Any) -> tuple[dict[str, str], dict[str, int]]:
    """Class names and bytes of own parameters by path; a shared parameter counts where it is met first."""
    kinds = {path: type(one).__name__ for path, one in module.named_modules(remove_duplicate=False)}
    parameters: dict[str, int] = {}
    for name, tensor in module.named_parameters():
        path = name.rpartition(".")[0]
        parameters[path] = parameters.get(path, 0) + tensor.nbytes
    return kinds, parameters


def _configuration(step: Step, settings: Settings) -> dict[str, str]:
    """What the figures depend on, as text."""
    torch = torch_package()
    inputs = [f"{str(t.dtype).removeprefix('torch.')}{list(t.shape)}" for t in step.tensors()]
    recorded = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    return {
        "inputs": ", ".join(inputs) or "none",
        "runs": str(settings.runs),
        "threads": str(torch.get_num_threads()),
        "parameters": f"{sum(p.numel() for p in step.module.parameters()):,}",
        "recorded for backward": "yes" if recorded else "no",
        "mode": "training" if step.module.training else "evaluation",
        "PyTorch": str(torch.__version__),
    }


# ---------------------------------------------------------------- gradients, and what a pass moves by itself


def _differentiable(out: Any, name: str) -> Any:
    """The first tensor in a result that gradients can start from."""
    stack = [out]
    while stack:
        value = stack.pop()
        if isinstance(value, torch_package().Tensor) and value.grad_fn is not None:
            return value
        parts = list(value.values()) if isinstance(value, Mapping) else value
        if isinstance(parts, list | tuple):
            stack += reversed(parts)
    raise ProfilingError(f"{name} returns {type(out).__name__}; backward needs a tensor that has a gradient")


@contextmanager
def gradients_on(wanted: bool) -> Iterator[None]:
    """Record for backward in the block where that is wanted; else as it is outside."""
    torch = torch_package()
    if not wanted:
        yield
        return
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def state_restored(step: Step) -> Iterator[None]:
    """Buffers, gradients and PyTorch's random stream are afterwards as they were before."""
    torch = torch_package()
    held = [
        (one, name, buffer, buffer.detach().clone())
        for one in step.module.modules()
        for name, buffer in one.named_buffers(recurse=False)
    ]
    gradients = [(leaf, leaf.grad) for leaf in step.leaves()]
    stream = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(stream)
        for leaf, gradient in gradients:
            leaf.grad = gradient
        for one, name, buffer, value in held:
            if not torch.equal(buffer, value):
                with torch.no_grad():
                    buffer.copy_(value)
            setattr(one, name, buffer)

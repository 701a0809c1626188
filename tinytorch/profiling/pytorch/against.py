"""The same model in TinyTorch and in PyTorch, in turns: how many times slower or faster, where, why."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinytorch import console
from tinytorch.errors import ProfilingError
from tinytorch.nn.module import Module
from tinytorch.ops.context import grad_mode
from tinytorch.profiling.context import ONE_AT_A_TIME, Settings
from tinytorch.profiling.pytorch.against_rows import Against, Watched, check_same, found
from tinytorch.profiling.pytorch.follow import Follower
from tinytorch.profiling.pytorch.twin import array_of, twin_of
from tinytorch.profiling.pytorch.watch import OpWatch, TorchFollower, torch_package
from tinytorch.profiling.rows import Times
from tinytorch.profiling.subject import Subject, subject_of
from tinytorch.profiling.timing.timer import Stopwatch, collector_off
from tinytorch.profiling.trace import OpTimer, Pass
from tinytorch.profiling.tree import modules_by_path
from tinytorch.tensor import Tensor
from tinytorch.threads import get_num_threads, set_num_threads

NOTE_WATCHED = (
    "a module's time is its own, without that of the modules in it. Outside kernels are Python, dispatch and "
    "autograd; kernels are timed in passes of their own, PyTorch's with the call from Python into each"
)


def against_torch(
    model: Any, args: Sequence[Any] | None = None, *, runs: int = 50, threads: int | None = None
) -> Against:
    """Time a model and its twin in PyTorch in random turns, in one process, with as many threads each.

    `runs`: unwatched passes of each; half as many, at least 10, are watched. `args`: the inputs (None: the
    model's `example_input`). `threads`: None for as many as `tinytorch.get_num_threads` says. Both models
    evaluate and record nothing for backward, PyTorch under inference_mode and a CNN in channels_last, its
    faster layout. Mode and numbers of threads are afterwards as they were before.

    Raises ProfilingError where PyTorch is missing, for a model that has no twin, and for outputs that differ.
    """
    settings = Settings(runs)
    if not isinstance(model, Module):
        raise ProfilingError(f"against_torch: {type(model).__name__} is no model of TinyTorch")
    subject = subject_of(model, args)
    if not all(isinstance(value, Tensor) for value in subject.args):
        raise ProfilingError(f"{subject.name}: against_torch takes inputs that are tensors, as args=(x,)")
    if not ONE_AT_A_TIME.acquire(blocking=False):
        raise ProfilingError("profile: another profile is being taken in this process; take them in turn")
    try:
        with _same_threads(threads) as used, _evaluating(model), grad_mode(False):
            return _measure(model, subject, settings, used)
    finally:
        ONE_AT_A_TIME.release()


# ---------------------------------------------------------------- measuring


class _Arms:
    """The ways a pass is run in each round, and what each gave."""

    def __init__(self, model: Module, subject: Subject, twin: Any, inputs: Sequence[Any]) -> None:
        self.subject, self.twin, self.inputs = subject, twin, inputs
        self.ours, self.torch = Stopwatch(), Stopwatch()
        self.passes: tuple[list[Pass], ...] = ([], [], [], [])
        follower = TorchFollower(twin)
        watchers = (Follower(modules_by_path(model)), follower, OpTimer(), OpWatch(follower))
        calls = (subject.call, self.peer) * 2
        self.plain = [
            functools.partial(self.ours.time, subject.call),
            functools.partial(self.torch.time, self.peer),
        ]
        self.watched = [
            functools.partial(self._watch, *arm) for arm in zip(watchers, calls, self.passes, strict=True)
        ]

    def peer(self) -> Any:
        """A pass of the model in PyTorch."""
        return self.twin(*self.inputs)

    @staticmethod
    def _watch(watcher: Any, call: Callable[[], Any], passes: list[Pass]) -> None:
        passes.append(watcher.run(call)[0])

    def times(self) -> Watched:
        """What the watched passes gave."""
        return Watched(*map(Times, self.passes))


def _measure(model: Module, subject: Subject, settings: Settings, threads: int) -> Against:
    torch = torch_package()
    twin = twin_of(model)
    inputs = [array_of(torch, value) for value in subject.args]
    notes = [NOTE_WATCHED]
    if any(isinstance(one, torch.nn.Conv2d) for one in twin.modules()):
        twin = twin.to(memory_format=torch.channels_last)
        inputs = [x.to(memory_format=torch.channels_last) if x.ndim == 4 else x for x in inputs]
        notes.append("PyTorch's images are in channels_last, its faster layout")
    with torch.inference_mode(), collector_off():
        arms = _Arms(model, subject, twin, inputs)
        error = check_same(subject.name, subject.call(), arms.peer())
        for _ in range(settings.warmup):
            subject.call()
            arms.peer()
        _take_turns(arms, settings, subject.name)
    configuration = {
        "inputs": ", ".join(f"{value.dtype}{list(value.shape)}" for value in subject.args),
        "runs": str(settings.runs),
        "threads": str(threads),
        "PyTorch": f"{torch.__version__}, eval, inference_mode",
    }
    kinds = {path: type(one).__name__ for path, one in modules_by_path(model).items()}
    samples = (arms.ours.samples, arms.torch.samples)
    return found(subject.name, configuration, samples, arms.times(), kinds, error, tuple(notes))


def _take_turns(arms: _Arms, settings: Settings, name: str) -> None:
    """Every round runs both models, and as often as is watched their watched passes, in random order."""
    rng = np.random.default_rng(settings.seed)
    rounds = max(settings.runs, settings.watched)
    with console.progress(rounds, f"{name} against PyTorch", "rounds") as bar:
        for number in range(1, rounds + 1):
            runs = list(arms.plain) if number <= settings.runs else []
            if number * settings.watched // rounds > (number - 1) * settings.watched // rounds:
                runs += arms.watched
            for i in rng.permutation(len(runs)):
                runs[i]()
            bar.update(number)


@contextmanager
def _same_threads(threads: int | None) -> Iterator[int]:
    """As many threads for both in the block, and afterwards as many as before."""
    torch = torch_package()
    ours, theirs = get_num_threads(), torch.get_num_threads()
    used = ours if threads is None else threads
    try:
        set_num_threads(used)
        torch.set_num_threads(used)
        yield used
    finally:
        set_num_threads(ours)
        torch.set_num_threads(theirs)


@contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode in the block, and afterwards each module in the mode it was in."""
    before = [(one, one.training) for one in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for one, mode in before:
            one.training = mode

"""Stage 3, accelerate: each model compiled, beside itself op by op, and where the gain comes from."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch import console
from tinytorch.acceleration.compiled import Compiled, compile
from tinytorch.acceleration.fused import parts
from tinytorch.acceleration.passes.fuse import is_view
from tinytorch.acceleration.runner import Interpreted, Runner
from tinytorch.autograd import no_grad
from tinytorch.journey import page
from tinytorch.journey.prediction import Prediction, predict
from tinytorch.journey.profile import FEW, Profiled, shown, without_timeline
from tinytorch.journey.stage import Journey, Stage
from tinytorch.journey.step import Step
from tinytorch.models.registry import Model
from tinytorch.profiling import words
from tinytorch.profiling.context import Settings, profile_subject
from tinytorch.profiling.profile import Profile
from tinytorch.profiling.report.outline import families
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.subject import Subject
from tinytorch.profiling.timing.compare import compare
from tinytorch.profiling.timing.comparison import FASTER, SLOWER
from tinytorch.tensor import Tensor

if TYPE_CHECKING:
    from markupsafe import Markup

READY = 3  # calls after which there is a program: a step that finds gradients of before is traced again
AGREE = 5  # calls, or steps of training, after which results are compared


@dataclass(frozen=True)
class Race:
    """Both in turns, in random order: medians in seconds, and `gain`, eager time over compiled time."""

    rounds: int
    eager: Estimate
    compiled: Estimate
    gain: Estimate
    word: str
    verdict: str


@dataclass(frozen=True)
class Kernel:
    """What computes these ops in one go, in a module or in those that repeat it; `calls` of it in a pass."""

    module: str
    ops: tuple[str, ...]
    backward: bool
    calls: int


@dataclass(frozen=True)
class Memory:
    """Bytes for what a pass makes on the way: at most at one time in eager mode, and in the program.

    `apart`: were each buffer of the program kept for itself; `arena`: as the memory plan has it.
    """

    eager: int
    apart: int
    arena: int


@dataclass(frozen=True)
class Compared:
    """One kind of pass, eager and compiled. `deviation`: largest difference of results over largest result.

    `reasons`: why it runs eagerly after all; `memory`, `profile` and `kernels` are then empty. Without LLVM,
    programs run on NumPy and these are empty too.
    """

    ready_seconds: float
    from_disk: bool
    deviation: float
    race: Race
    ops: float
    kernels: tuple[Kernel, ...]
    memory: Memory | None
    profile: Profile | None
    prediction: Prediction
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Accelerated:
    """What compiling gained: `forward` on the example input, `step` on a training batch."""

    forward: Compared
    step: Compared
    programs_in_step: int


@dataclass(frozen=True)
class _Pair:
    """The same work twice: op by op, and as programs."""

    name: str
    eager: Callable[[], Any]
    compiled: Callable[[], Any]
    programs: Sequence[Compiled]
    deviation: Callable[[], float]
    model: Model
    x: Tensor


class AccelerateStage(Stage[Accelerated]):
    """Compiles forward pass and training step; reads what `train` and `profile` left in the journey."""

    name: ClassVar[str] = "accelerate"
    title: ClassVar[str] = "Accelerate"

    def run(self, journey: Journey, model: str) -> Accelerated:
        """Measure one model, eager and compiled."""
        trained, before = journey.models[model], journey.results["profile"][model]
        assert isinstance(before, Profiled)
        trained.eval()
        with no_grad():
            forward = _compared(_forward(trained, model), before.forward, journey)
        recipe = journey.results["train"][model].recipe
        steps = _step(lambda: Step.of(trained, model, recipe), model)
        return Accelerated(forward, _compared(steps, before.step, journey, "step"), len(steps.programs))

    def figures(self, result: Accelerated) -> dict[str, str]:
        """What compiling gained, and plainly so if that is nothing."""
        return {
            "compiled pass": short(result.forward.race),
            "compiled step": short(result.step.race),
        }

    def section(self, journey: Journey, results: Mapping[str, Accelerated]) -> Markup:
        """The stage's part of the page: the races, then for each pass what became of its ops and why."""
        profiled = journey.results["profile"]
        return page.render(
            "accelerate.html.jinja",
            stage=self,
            results=results,
            parts={name: _parts(profiled[name], result) for name, result in results.items()},
            few=FEW,
        )


def short(race: Race) -> str:
    """The gain in two words.

    >>> one = Estimate(1.0, 1.0, 1.0)
    >>> short(Race(10, one, one, Estimate(0.5, 0.4, 0.6), SLOWER, ""))
    '2.0x slower'
    """
    return words.faster(race.gain.value) if race.word in (FASTER, SLOWER) else race.word


# ---------------------------------------------------------------- the work


def _forward(model: Model, name: str) -> _Pair:
    x, fast = model.example_input, compile(model)
    assert x is not None
    given = x
    return _Pair(
        name,
        lambda: model(given),
        lambda: fast(given),
        (fast,),
        lambda: difference(model(given), fast(given)),
        model,
        given,
    )


def _step(new: Callable[[], Step], name: str) -> _Pair:
    """Two twins with the same weights take steps on the same batch."""
    eager, other = new(), new()
    run, programs = other.compiled()

    def deviation() -> float:
        for _ in range(AGREE):
            eager.run()
        with no_grad():
            return difference(eager.model(eager.x), other.model(other.x))

    return _Pair(f"{name}, training step", eager.run, run, programs, deviation, other.model, other.x)


def difference(a: Tensor, b: Tensor) -> float:
    """The largest difference between two results, over the largest of the first.

    >>> difference(Tensor([1.0, -4.0]), Tensor([1.0, -3.0]))
    0.25
    """
    return float(np.abs(a.data - b.data).max() / np.abs(a.data).max())


# ---------------------------------------------------------------- measured


def _compared(pair: _Pair, before: Profile, journey: Journey, mode: str = "") -> Compared:
    scale = journey.scale
    console.notice(f"compile {pair.name}, then {scale.race_rounds} rounds of eager beside compiled")
    start = time.perf_counter()
    for _ in range(READY):
        pair.compiled()
    ready = time.perf_counter() - start
    for _ in range(AGREE - READY):
        pair.compiled()
    deviation = pair.deviation()
    race = _race(pair, scale.race_rounds, journey.seed)
    runners = [one._last.runner for one in pair.programs if one._last is not None]
    reasons = tuple(dict.fromkeys(reason for one in pair.programs for reason in one.reasons))
    native = bool(runners) and not reasons and not any(isinstance(r, Interpreted) for r in runners)
    profile = None
    if native:
        subject = Subject(pair.name, pair.compiled, pair.model, (pair.x,), {})
        settings = Settings(runs=scale.observed_runs, memory=False, seed=journey.seed)
        profile, _ = profile_subject(subject, settings, mode)
        profile = without_timeline(profile, before.name)
    return Compared(
        ready,
        native and all(runner.from_disk for runner in runners),
        deviation,
        race,
        sum(row.calls for row in before.ops),
        _kernels(runners) if native else (),
        _memory(before, runners) if native else None,
        profile,
        predict(before, profile, race.gain, race.word),
        reasons,
    )


def _race(pair: _Pair, rounds: int, seed: int) -> Race:
    found = compare(pair.eager, pair.compiled, names=["eager", "compiled"], runs=rounds, seed=seed)
    eager, compiled = found.medians
    (verdict,) = found.verdicts
    return Race(rounds, eager, compiled, verdict.ratio, verdict.word, str(verdict))


def _memory(before: Profile, runners: Sequence[Any]) -> Memory:
    assert before.memory is not None
    layouts = [runner.layout for runner in runners]
    return Memory(
        before.memory.peak - before.memory.baseline,
        sum(layout.unshared_bytes for layout in layouts),
        sum(layout.arena_bytes for layout in layouts),
    )


def _kernels(runners: Sequence[Runner]) -> tuple[Kernel, ...]:
    """What the programs compute, call by call; those of repeated blocks together, in order."""
    calls = [call for runner in runners for call in runner.graph.calls if not is_view(call)]
    names = families(call.path for call in calls)
    counts = Counter(
        (names[call.path], tuple(one.op.name for one in parts(call)), call.backward) for call in calls
    )
    return tuple(Kernel(*key, count) for key, count in counts.items())


# ---------------------------------------------------------------- shown


@dataclass(frozen=True)
class _Part:
    """One kind of pass as the page shows it: profiles before and after, and the kernels of several ops."""

    title: str
    found: Compared
    before: Any
    after: Any
    fused: tuple[Kernel, ...]
    single: int
    """Kernels of one op in a pass."""


def _parts(before: Profiled, result: Accelerated) -> tuple[_Part, ...]:
    several = f", {result.programs_in_step} programs" if result.programs_in_step > 1 else ""
    return (
        _part("Forward, batch of 1", before.forward, result.forward),
        _part(f"Training step, batch of {before.batch_shape[0]}{several}", before.step, result.step),
    )


def _part(title: str, before: Profile, found: Compared) -> _Part:
    after = None if found.profile is None else shown("Compiled", found.profile)
    fused = tuple(kernel for kernel in found.kernels if len(kernel.ops) > 1)
    single = sum(kernel.calls for kernel in found.kernels if len(kernel.ops) == 1)
    return _Part(title, found, shown("Eager", before), after, fused, single)

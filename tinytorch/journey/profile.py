"""Stage 2, profile: how long a model takes, how large it is, and where its time goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from tinytorch.autograd import no_grad
from tinytorch.journey import page
from tinytorch.journey.stage import Journey, Stage
from tinytorch.journey.step import Step
from tinytorch.profiling import words
from tinytorch.profiling.context import Settings, profile_subject
from tinytorch.profiling.profile import Profile
from tinytorch.profiling.report.outline import families
from tinytorch.profiling.subject import Subject, subject_of

if TYPE_CHECKING:
    from markupsafe import Markup

FEW = 12  # rows shown before the rest is folded away


@dataclass(frozen=True)
class Row:
    """Time under one heading in a pass: seconds, those of them in gradients, calls, and share of the pass."""

    name: str
    seconds: float
    backward: float
    calls: float
    share: float


@dataclass(frozen=True)
class Profiled:
    """What a model costs. `forward` is a pass of the example input, `step` one of training."""

    input_shape: tuple[int, ...]
    batch_shape: tuple[int, ...]
    parameters: int
    parameter_bytes: int
    forward: Profile
    step: Profile


@dataclass(frozen=True)
class Shown:
    """A profile as the page shows it: rows by module, repeated blocks together, and by kind of op."""

    title: str
    profile: Profile
    modules: tuple[Row, ...]
    kinds: tuple[Row, ...]
    gradients: bool


class ProfileStage(Stage[Profiled]):
    """Measures latency, size and time by module and op; reads what `train` left in `journey.models`."""

    name: ClassVar[str] = "profile"
    title: ClassVar[str] = "Profile"

    def run(self, journey: Journey, model: str) -> Profiled:
        """Measure one model: a pass of its example input, then a training step."""
        scale, subject = journey.scale, journey.models[model]
        example = subject.example_input
        assert example is not None
        subject.eval()
        with no_grad():
            settings = Settings(runs=scale.latency_runs, warmup=10, seed=journey.seed)
            forward, _ = profile_subject(subject_of(subject), settings)
        work = Step.of(subject, model, journey.results["train"][model].recipe)
        step, _ = profile_subject(
            Subject(f"{model}, training step", work.run, work.model, (work.x,), {}),
            Settings(runs=scale.observed_runs, seed=journey.seed),
            "step",
        )
        parameters = list(subject.parameters())
        return Profiled(
            example.shape,
            work.x.shape,
            sum(p.size for p in parameters),
            sum(p.nbytes for p in parameters),
            without_timeline(forward, model),
            without_timeline(step, step.name),
        )

    def figures(self, result: Profiled) -> dict[str, str]:
        """Size, work and latency."""
        timing = result.forward.timing
        assert timing is not None
        return {
            "parameters": words.count(result.parameters),
            "work": words.work(result.forward.flops),
            "p50": words.seconds(timing.p50.value),
            "p95": words.seconds(timing.p95.value),
        }

    def section(self, journey: Journey, results: Mapping[str, Profiled]) -> Markup:
        """The stage's part of the page; repeated blocks share a row there."""
        parts = {
            name: (
                shown("Forward, batch of 1", result.forward),
                shown(f"Training step, batch of {result.batch_shape[0]}", result.step),
            )
            for name, result in results.items()
        }
        return page.render("profile.html.jinja", stage=self, results=results, shown=parts, few=FEW)


def without_timeline(profile: Profile, name: str) -> Profile:
    """The profile under the model's name, less the ops in order, which the page does not show."""
    return replace(profile, name=name, timeline=())


def shown(title: str, profile: Profile) -> Shown:
    """A profile in the rows of the page."""
    modules = together(module_times(profile))
    kinds = tuple(
        Row(row.name, row.seconds.value, row.backward_seconds, row.calls, row.share.value)
        for row in profile.ops
    )
    return Shown(title, profile, modules, kinds, any(row.backward for row in modules))


def module_times(profile: Profile) -> tuple[Row, ...]:
    """Self time of each module in which ops ran; the root, which has no name, is the model."""
    return tuple(
        Row(
            row.path or "(model)",
            row.self_seconds.value,
            row.backward_seconds,
            row.calls,
            row.share.value,
        )
        for row in profile.modules
        if row.calls or row.self_seconds.value
    )


def together(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Rows of modules that differ only in the number of their block as one: `blocks.*.mlp`, largest first.

    >>> one, two = Row("blocks.0.mlp", 2.0, 1.0, 1.0, 0.5), Row("blocks.1.mlp", 1.0, 0.0, 1.0, 0.25)
    >>> together((one, two, Row("head.0", 1.0, 0.0, 1.0, 0.25)))[0].name
    'blocks.*.mlp'
    """
    names = families(row.name for row in rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(names[row.name], []).append(row)
    merged = [
        Row(
            name,
            sum(row.seconds for row in group),
            sum(row.backward for row in group),
            sum(row.calls for row in group),
            sum(row.share for row in group),
        )
        for name, group in groups.items()
    ]
    return tuple(sorted(merged, key=lambda row: -row.seconds))

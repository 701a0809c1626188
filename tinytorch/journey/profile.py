"""Stage 2, profile: how long a model takes, how large it is, and where its time goes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from tinytorch import console, models
from tinytorch.autograd import no_grad
from tinytorch.journey import page
from tinytorch.journey.measure import Breakdown, Latency, Row, Work, breakdown, filed_under, latency
from tinytorch.journey.stage import Journey, Stage
from tinytorch.models.registry import Model
from tinytorch.ops.spec import float32
from tinytorch.optim import clip_grad_norm
from tinytorch.random import Generator
from tinytorch.training import next_token_loss
from tinytorch.training.recipes import Recipe, optimizer_for

if TYPE_CHECKING:
    from markupsafe import Markup

FEW = 12  # rows shown before the rest is folded away


@dataclass(frozen=True)
class Profiled:
    """What a model costs. `forward` is a pass of the example input, `step` one of training."""

    input_shape: tuple[int, ...]
    batch_shape: tuple[int, ...]
    parameters: int
    parameter_bytes: int
    latency: Latency
    forward: Breakdown
    step: Breakdown


class Profile(Stage[Profiled]):
    """Measures latency, size and time by module and op; reads what `train` left in `journey.models`."""

    name: ClassVar[str] = "profile"
    title: ClassVar[str] = "Profile"

    def run(self, journey: Journey, model: str) -> Profiled:
        """Measure one model: latency alone first, then passes that an observer watches."""
        scale, subject = journey.scale, journey.models[model]
        example = subject.example_input
        assert example is not None
        subject.eval()
        total = scale.latency_runs + scale.observed_runs
        with console.progress(total, f"profile {model}", "runs") as bar, no_grad():

            def one() -> object:
                return subject(example)

            times = latency(one, scale.latency_runs, tick=bar.update)
            forward = breakdown(
                one, scale.observed_runs, journey.seed, lambda n: bar.update(scale.latency_runs + n)
            )
        batch, work = training_step(subject, model, journey.results["train"][model].recipe)
        with console.progress(scale.observed_runs, f"profile {model}, training", "steps") as bar:
            step = breakdown(work, scale.observed_runs, journey.seed, bar.update)
        parameters = list(subject.parameters())
        return Profiled(
            example.shape,
            batch,
            sum(p.size for p in parameters),
            sum(p.nbytes for p in parameters),
            times,
            forward,
            step,
        )

    def figures(self, result: Profiled) -> dict[str, str]:
        """Size and latency."""
        return {
            "parameters": page.count(result.parameters),
            "p50": page.seconds(result.latency.p50.value),
            "p95": page.seconds(result.latency.p95.value),
        }

    def section(self, journey: Journey, results: Mapping[str, Profiled]) -> Markup:
        """The stage's part of the page; repeated blocks share a row there."""
        shown = {
            name: replace(
                result,
                forward=replace(result.forward, modules=together(result.forward.modules)),
                step=replace(result.step, modules=together(result.step.modules)),
            )
            for name, result in results.items()
        }
        return page.render("profile.html.jinja", stage=self, results=shown, few=FEW)


def training_step(trained: Model, name: str, recipe: Recipe) -> tuple[tuple[int, ...], Work]:
    """The shape of a batch, and a training step on it by a copy of the model: forward to optimizer.

    The batch is random: what is in it does not change what the step costs. Loss and optimizer are filed under
    names of their own.
    """
    twin = models.build(name, **trained.config())
    twin.load_state_dict(trained.state_dict())
    twin.train()
    example, generator = twin.example_input, Generator(0)
    assert example is not None
    shape = (recipe.batch, *example.shape[1:])
    with no_grad():
        classes = twin(example).shape[-1]
    if example.dtype == float32:
        x, labels = generator.rand(*shape), generator.randint(0, classes, shape[:1])
    else:
        x, labels = generator.randint(0, classes, shape), generator.randint(0, classes, shape)
    optimizer = optimizer_for(twin, recipe)

    def work() -> None:
        optimizer.zero_grad()
        logits = twin(x)
        with filed_under("loss"):
            loss = next_token_loss(logits, labels)
        loss.backward()
        with filed_under("optimizer"):
            if recipe.clip is not None:
                clip_grad_norm(twin.parameters(), recipe.clip)
            optimizer.step()

    return shape, work


def together(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Rows of modules that differ only in the number of their block as one: `blocks.*.mlp`, largest first.

    >>> one, two = Row("blocks.0.mlp", 2.0, 1.0, 1.0, 0.5), Row("blocks.1.mlp", 1.0, 0.0, 1.0, 0.25)
    >>> together((one, two, Row("head.0", 1.0, 0.0, 1.0, 0.25)))[0].name
    'blocks.*.mlp'
    """
    repeated = {found[1] for row in rows if (found := re.match(r"(.+?)\.\d+\.", row.name))}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        found = re.match(r"(.+?)\.\d+(?=\.|$)", row.name)
        name = row.name
        if found and found[1] in repeated:
            name = f"{found[1]}.*{row.name[found.end() :]}"
        groups.setdefault(name, []).append(row)
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

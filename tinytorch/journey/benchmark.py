"""Stage 7, benchmark: the model as optimised so far enters its event of TinyMLPerf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tinytorch import console
from tinytorch.acceleration.graph import Graph
from tinytorch.benchmarking.arm import Arm
from tinytorch.benchmarking.energy import energy_of
from tinytorch.benchmarking.entry import Entry, described
from tinytorch.benchmarking.events import EVENTS, Event, baseline_model, canonical, program_for
from tinytorch.benchmarking.measure import measure
from tinytorch.benchmarking.result import Result
from tinytorch.benchmarking.samples import fresh
from tinytorch.benchmarking.text import figures_rows, ratios_rows
from tinytorch.errors import CheckpointError
from tinytorch.journey import page
from tinytorch.journey.quantize import data_of, part_of
from tinytorch.journey.stage import Journey, Stage
from tinytorch.models import GPT
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.profiling import words
from tinytorch.profiling.statistics import Estimate
from tinytorch.quantization.samples import figures_of, splits_for

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Benchmarked:
    """What the stage found: of the event, whether its gate is passed, and the final model beside `base`.

    `base`: "the event's baseline", or "the model as it was trained" where the gate is not passed or no
    baseline ships; `why`: the reason then. rows: name, base and final; ratios: by name, base against final.
    energy: joules of a sample of both, None where they cannot be measured.
    """

    event: str
    base: str
    why: str
    rows: tuple[tuple[str, str, str], ...]
    ratios: tuple[tuple[str, Estimate], ...]
    techniques: tuple[str, ...]
    labels: tuple[str, ...]
    energy: tuple[float, float] | None


class BenchmarkStage(Stage[Benchmarked]):
    """Enters the smallest model that passes the gate on validation data; test data gives the figures."""

    name: ClassVar[str] = "benchmark"
    title: ClassVar[str] = "Benchmark"

    def takes(self, journey: Journey, model: str) -> bool:
        """Whether there is an event for a model of this size."""
        found, trained = event_of(model), journey.models.get(model)
        if found is None or trained is None:
            return False
        if isinstance(trained, GPT):
            return (1, trained.context, trained.vocab_size) == found.outputs.shape
        return True

    def run(self, journey: Journey, model: str) -> Benchmarked:
        """Measure one model."""
        event, trained = event_of(model), journey.models[model]
        assert event is not None, "see `takes`"
        console.notice(f"benchmark {model}: the model as optimised so far, in {event.title}")
        final = program_for(event, chosen(journey, event, model))
        whole = program_for(event, trained)
        compiled: dict[str, Array] = {}
        result, why = entered(event, final, compiled), ""
        if result is None or not result.valid:
            why = "; ".join(result.reasons) if result else "no weights of a baseline ship"
            result = _measured(event, final, whole, compiled)
        return found_in(result, why, _energy(event, whole, final))

    def figures(self, result: Benchmarked) -> dict[str, str]:
        """The overall score."""
        ratios = dict(result.ratios)
        return {"benchmark": words.times(ratios["overall"]) if ratios else "invalid"}

    def section(self, journey: Journey, results: Mapping[str, Benchmarked]) -> Markup:
        """The stage's part of the page."""
        return page.render("benchmark.html.jinja", stage=self, results=results)


def event_of(model: str) -> Event | None:
    """The event whose baseline is of that name."""
    return next((one for one in EVENTS.values() if one.model == model), None)


def chosen(journey: Journey, event: Event, name: str) -> Module:
    """Of what the stages made, the one with the smallest file that keeps what the gate asks for on validation
    data; the trained model itself where none does.
    """
    trained = journey.models[name]
    batches = part_of(splits_for(trained, data_of(name), journey.seed), journey, name).validation
    before = float(figures_of(trained, batches).mean())
    good: list[Module] = []
    for made in journey.optimised.get(name, ()):
        kept = event.kept(float(figures_of(made, batches).mean()), before)
        if kept >= (event.gate if event.kind == "images" else 1 / event.gate):
            good.append(made)
    return min(good, key=lambda made: len(canonical(program_for(event, made))), default=trained)


def entered(event: Event, final: Graph, compiled: dict[str, Array] | None = None) -> Result | None:
    """The result of a program in its event; None where no baseline ships. `compiled`: see `measure`."""
    try:
        baseline_model(event)
    except CheckpointError:
        return None
    return _measured(event, final, None, compiled)


def _measured(event: Event, final: Graph, base: Graph | None, compiled: dict[str, Array] | None) -> Result:
    says = described({"event": event.name, "team": "journey", "description": "what the journey made"})
    return measure(Entry(says, canonical(final)), quick=True, base=base, compiled=compiled)[0]


def found_in(result: Result, why: str, energy: tuple[float, float] | None) -> Benchmarked:
    """What the page shows of a result; `why` the event's own baseline is not what it is beside."""
    event = EVENTS[result.event]
    rows: Sequence[Sequence[str]] = ()
    ratios: list[tuple[str, Estimate]] = []
    if result.figures is not None and result.base is not None and result.ratios is not None:
        rows = figures_rows(result.base, result.figures, event.quality)
        ratios = [(name, ratio.estimate()) for name, ratio in ratios_rows(result.ratios)]
    return Benchmarked(
        event.title,
        "the model as it was trained" if why else "the event's baseline",
        why or "; ".join(result.reasons),
        tuple((row[0], row[1], row[2]) for row in rows),
        tuple(ratios),
        tuple(f"{one.name}: {one.evidence}" for one in result.techniques),
        result.labels,
        energy,
    )


def _energy(event: Event, base: Graph, final: Graph) -> tuple[float, float] | None:
    """Joules of a sample of both programs, one after the other; None where that cannot be measured."""
    x = fresh(event, 1, 0, 0).inputs
    found = []
    for graph in (base, final):
        arm = Arm(graph, event)
        joules = energy_of(lambda arm=arm: arm.one(x))  # type: ignore[misc]
        if joules is None:
            return None
        found.append(joules)
    return found[0], found[1]

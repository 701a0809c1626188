"""The last stage: what the journey made enters its event, and stands beside a baseline."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.journey.scales import TINY
from tinytorch.benchmarking.energy import energy_of, joules
from tinytorch.benchmarking.events import baseline_graph, event, program_for
from tinytorch.journey import take_journey
from tinytorch.journey.benchmark import Benchmarked, BenchmarkStage, chosen, entered
from tinytorch.journey.quantize import QuantizeStage
from tinytorch.journey.stage import Journey
from tinytorch.journey.train import Train
from tinytorch.models import pretrained
from tinytorch.models.pretrained import load_pretrained


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Journey:
    stages = [Train(), QuantizeStage(), BenchmarkStage()]
    return take_journey(["mlp"], tmp_path_factory.mktemp("out"), scale=TINY, seed=3, stages=stages)


def test_a_model_that_trained_too_little_is_measured_beside_itself(journey: Journey) -> None:
    found: Benchmarked = journey.results["benchmark"]["mlp"]
    assert found.why.startswith("gate: accuracy")
    assert found.base == "the model as it was trained"
    names = [row[0] for row in found.rows]
    assert {"classify p50", "memory", "file", "accuracy"} <= set(names)
    ratios = dict(found.ratios)
    assert ratios["size of the file"].value > 2
    assert ratios["quality"].value > 0.98
    assert found.techniques[0].startswith("integer arithmetic")
    assert "quick, unranked" in found.labels


def test_the_page_ends_with_baseline_against_final(journey: Journey, tmp_path: Path) -> None:
    text = str(BenchmarkStage().section(journey, journey.results["benchmark"]))
    assert "MLP in MLP Sprint" in text
    assert "the baseline here is the model as it was trained" in text
    assert "Energy is left out" in text or "energy of a sample" in text
    assert "x" in BenchmarkStage().figures(journey.results["benchmark"]["mlp"])["benchmark"]


def test_the_model_that_ships_is_entered_beside_the_baseline() -> None:
    one = event("mlp_sprint")
    journey = Journey(("mlp",), TINY, models={"mlp": load_pretrained("mlp")})
    result = entered(one, program_for(one, chosen(journey, one, "mlp")))
    assert result is not None
    assert result.valid
    assert result.ratios is not None
    assert result.ratios.size.log == 0.0


def test_without_weights_that_ship_there_is_no_baseline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    graph = baseline_graph("mlp_sprint")
    monkeypatch.setattr(pretrained, "_SHIPPED", tmp_path)
    assert entered(event("mlp_sprint"), graph) is None


def test_models_of_other_sizes_have_no_event(journey: Journey) -> None:
    stage = BenchmarkStage()
    gpt = load_pretrained("gpt")
    small = dataclasses.replace(journey, models={"gpt": type(gpt)(context=32, width=32, layers=1, heads=2)})
    assert not stage.takes(small, "gpt")
    assert stage.takes(dataclasses.replace(journey, models={"gpt": gpt}), "gpt")
    assert not stage.takes(journey, "cnn"), "it was not trained"


def test_energy_is_what_counters_say_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert energy_of(lambda: None, tmp_path) is None
    for name, value in (
        ("intel-rapl:0", 5_000_000),
        ("intel-rapl:1", 2_000_000),
        ("intel-rapl:0:0", 9_000_000),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
    assert joules(tmp_path) == pytest.approx(7.0), "parts of a package are in it already"
    counter = tmp_path / "intel-rapl:0" / "energy_uj"
    now = [0.0]
    monkeypatch.setattr("tinytorch.benchmarking.energy.time.perf_counter", lambda: now[0])

    def call() -> None:
        now[0] += 0.5
        counter.write_text(str(int(counter.read_text()) + 1_000_000))

    assert energy_of(call, tmp_path) == pytest.approx(1.0)

    def full() -> None:
        now[0] += 2.0
        counter.write_text("0")

    assert energy_of(full, tmp_path) is None

"""The stage that quantizes: its figures against what they are made of, its page, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.journey.html_check import Page
from tests.journey.scales import TEXT, TINY
from tinytorch import models
from tinytorch.autograd import no_grad
from tinytorch.journey import Journey
from tinytorch.journey.quantize import OnCodes, QuantizeStage, _against_bits, gained
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.timing.comparison import FASTER, SAME, SLOWER
from tinytorch.quantization.samples import splits_for
from tinytorch.quantization.speed import Race
from tinytorch.random import Generator

pytest.importorskip("llvmlite")
CONFIG = {"mlp": {"sizes": (784, 32, 10)}, "gpt": TEXT["config"]}


@pytest.fixture(scope="module")
def journey() -> Journey:
    found = Journey(tuple(CONFIG), TINY)
    for name, config in CONFIG.items():
        found.models[name] = models.build(name, **config, generator=Generator(1))
    found.results["quantize"] = {name: QuantizeStage().run(found, name) for name in CONFIG}
    return found


@pytest.fixture(params=["mlp", "gpt"])
def result(request: pytest.FixtureRequest, journey: Journey) -> OnCodes:
    found: OnCodes = journey.results["quantize"][request.param]
    return found


def test_each_form_is_measured_and_smaller_than_the_one_before(result: OnCodes) -> None:
    assert [form.bits for form in result.forms] == [32, 16, 8, 4]
    assert result.forms[0].lost is None
    for more, fewer in zip(result.forms, result.forms[1:], strict=False):
        assert fewer.file < more.file
        assert fewer.resident < more.resident
        assert fewer.lost is not None
    assert all(form.read is None or form.read > 0 for form in result.forms)


def test_the_figure_of_float32_is_that_of_the_model(journey: Journey) -> None:
    model, result = journey.models["mlp"], journey.results["quantize"]["mlp"]
    right: list[Any] = []
    with no_grad():
        for x, labels in splits_for(model, "fashion", journey.seed).test[:1]:  # type: ignore[misc]
            right.append(model(x).data.argmax(1) == labels.data)
    assert result.forms[0].figure == pytest.approx(np.concatenate(right).mean())
    weights = sum(p.data.nbytes for p in model.parameters())
    assert result.forms[0].resident == weights


def test_layers_are_reported_and_what_has_no_form_is_listed(journey: Journey) -> None:
    mlp, gpt = (journey.results["quantize"][name] for name in CONFIG)
    assert [layer.path for layer in mlp.layers] == ["layers.0", "layers.2"]
    assert all(layer.race is not None and layer.cost is not None for layer in mlp.layers)
    assert {why for _, why in gpt.left} >= {"LayerNorm has no form on codes"}


def test_histograms_hold_all_weights_and_their_range(journey: Journey) -> None:
    result = journey.results["quantize"]["mlp"]
    weight = journey.models["mlp"].layers[0].weight.data
    first = result.weights[0]
    assert sum(first.counts) == weight.size
    assert first.range == pytest.approx((-np.abs(weight).max(), np.abs(weight).max()), rel=1e-6)
    pixels = result.activations[0]
    assert pixels.range[0] == 0.0, "pixels are never below 0"
    assert 0.5 < pixels.range[1] <= 1.0


def test_the_page_shows_it(journey: Journey) -> None:
    stage = QuantizeStage()
    markup = stage.section(journey, journey.results["quantize"])
    shown = Page(f"<!doctype html><html><body>{markup}</body></html>")
    for words in ("MLP: what bits cost and save", "int4-g128", "layers.2", "Bytes of the file"):
        assert words in shown.words
    cells = stage.figures(journey.results["quantize"]["mlp"])
    assert cells["INT8 loses"].endswith(" points")
    assert cells["INT8 file"].endswith("x smaller")


def test_the_plot_spans_a_point_at_least(journey: Journey) -> None:
    result = journey.results["quantize"]["mlp"]
    same = replace(result, forms=tuple(replace(f, figure=0.5, lost=None) for f in result.forms))
    ticks = [
        float(e.text or "nan") for e in _against_bits(same).iter("text") if e.get("text-anchor") == "end"
    ]
    assert max(ticks) - min(ticks) >= 1.0


@pytest.mark.parametrize(
    ("word", "gain", "text"), [(FASTER, 2.0, "2.0x faster"), (SLOWER, 0.5, "2.0x slower"), (SAME, 1.0, SAME)]
)
def test_a_race_in_words(word: str, gain: float, text: str) -> None:
    one = Estimate(1.0, 1.0, 1.0)
    assert gained(Race(one, one, Estimate(gain, gain, gain), word)) == text

"""A whole journey at a small scale: its figures against independent recomputation, and its page."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.special import softmax as scipy_softmax

from tests.journey.html_check import Page
from tests.journey.scales import TINY
from tinytorch import Tensor, data, models, no_grad
from tinytorch.journey import FULL, QUICK, Journey, take_journey
from tinytorch.journey.language import excerpt
from tinytorch.journey.train import Train
from tinytorch.models import pretrained

ALL = ("mlp", "cnn", "gpt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journey")


@pytest.fixture(scope="module")
def journey(folder: Path) -> Journey:
    """The run that most tests look at; nothing ships for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "_SHIPPED", folder / "none")
        return take_journey(
            ALL, folder, scale=TINY, seed=3, command="tito <journey>", picture=folder / "p.svg"
        )


@pytest.fixture(scope="module")
def figures(journey: Journey, folder: Path) -> dict[str, Any]:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    found: dict[str, Any] = json.loads((folder / "journey.json").read_text(), parse_constant=refuse)
    return found


@pytest.fixture(scope="module")
def page(journey: Journey, folder: Path) -> str:
    return (folder / "index.html").read_text(encoding="utf-8")


# ---------------------------------------------------------------- figures


def test_the_file_says_what_ran(figures: dict[str, Any]) -> None:
    assert (figures["format"], figures["version"]) == ("tinytorch-journey", 1)
    run = figures["run"]
    assert run["models"] == list(ALL)
    assert (run["seed"], run["command"], run["interrupted"]) == (3, "tito <journey>", False)
    assert run["seconds"] > 0
    machine = run["machine"]
    assert machine["cores"] >= 1
    assert machine["threads"] >= 1
    assert all(value for name, value in machine.items() if name != "warnings")
    stages = ["train", "profile", "accelerate", "quantize", "compress", "cache", "benchmark"]
    assert list(figures["stages"]) == stages


def numpy_logits(model: Any, images: np.ndarray) -> np.ndarray:
    """The MLP in float64."""
    x = images.reshape(len(images), -1).astype(np.float64)
    state = {name: tensor.numpy().astype(np.float64) for name, tensor in model.state_dict().items()}
    for layer in (0, 2, 4):
        x = x @ state[f"layers.{layer}.weight"].T + state[f"layers.{layer}.bias"]
        x = np.maximum(x, 0) if layer < 4 else x
    return x


def test_predictions_are_those_of_the_trained_model(journey: Journey, figures: dict[str, Any]) -> None:
    images = data.load("fashion", "test").images[:200]
    logits = numpy_logits(journey.models["mlp"], images)
    result = figures["stages"]["train"]["mlp"]
    assert result["predictions"] == "".join(map(str, logits.argmax(axis=1)))
    probabilities = scipy_softmax(logits, axis=1)
    for guess in result["at_random"] + result["mistakes"]:
        assert math.isclose(guess["probability"], probabilities[guess["index"]].max(), rel_tol=1e-4)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_accuracy_is_that_of_the_saved_predictions(name: str, figures: dict[str, Any]) -> None:
    result = figures["stages"]["train"][name]
    labels = data.load("fashion", "test").labels[:200]
    predicted = np.array([int(digit) for digit in result["predictions"]])
    p, n, z = (predicted == labels).mean(), len(labels), 1.959963984540054
    centre, spread = (p + z * z / 2 / n), z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    interval = [(centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1)]
    found = result["test_accuracy"]
    assert [found["value"], found["low"], found["high"]] == pytest.approx([p, *interval])
    for guess in result["at_random"] + result["mistakes"]:
        assert (guess["label"], guess["predicted"]) == (labels[guess["index"]], predicted[guess["index"]])
    assert all(guess["label"] != guess["predicted"] for guess in result["mistakes"])
    assert (len(result["at_random"]), len(result["mistakes"])) == (8, 4)


@pytest.mark.parametrize("name", ALL)
def test_the_state_kept_is_the_best_on_validation(name: str, figures: dict[str, Any]) -> None:
    result = figures["stages"]["train"][name]
    entries = result["curves"]["validation"]
    if name == "gpt":
        best = min(entries, key=lambda entry: entry["bits_per_byte"])
        assert result["validation_bits"] == best["bits_per_byte"]
    else:
        best = max(entries, key=lambda entry: entry["accuracy"])
        assert result["validation_accuracy"] == best["accuracy"]
    assert result["chosen_step"] == best["step"]
    assert entries[-1]["step"] == result["steps"]


def test_bits_per_byte_against_the_definition(journey: Journey, figures: dict[str, Any]) -> None:
    model = journey.models["gpt"]
    text = excerpt(data.load("pydocs", "test").text, 2048)
    bits, scored = 8.0, 0
    starts = [*range(0, len(text) - 33, 16), len(text) - 33]
    for start in starts:
        row = np.frombuffer(text[start : start + 33], np.uint8).astype(np.int64)
        with no_grad():
            logits = model(Tensor(row[None, :-1])).numpy()[0].astype(np.float64)
        each = -log_softmax(logits, axis=1)[np.arange(32), row[1:]] / math.log(2)
        new = start + 32 - scored
        bits, scored = bits + each[32 - new :].sum(), scored + new
    result = figures["stages"]["train"]["gpt"]
    assert scored + 1 == result["test_bytes"] == len(text)
    assert result["test_bits"] == pytest.approx(bits / len(text), rel=1e-5)


def test_baselines_are_those_of_the_same_bytes(figures: dict[str, Any]) -> None:
    result = figures["stages"]["train"]["gpt"]
    assert result["validation_bytes"] == 16 * 32
    known = data.baselines()
    assert result["test_baselines"]["xz"] == known["test"]["xz"]
    assert result["validation_baselines"]["xz"] == known["validation"]["xz"]
    for split in ("test", "validation"):
        ngrams = result[f"{split}_baselines"]["ngrams"]
        for order, bits in ngrams.items():
            assert bits == pytest.approx(known[split][order], rel=0.25)  # a small part of that text
    assert len(result["text"].encode("utf-8", "surrogatepass")) >= 40


def test_an_excerpt_spans_the_text() -> None:
    text = bytes(range(256)) * 100
    assert excerpt(text, None) is text
    assert excerpt(text, len(text)) is text
    part = excerpt(text, 800)
    assert len(part) == 800
    assert part[:100] == text[:100]
    assert part[700:] == text[7 * len(text) // 8 :][:100]


@pytest.mark.parametrize(("name", "count"), [("mlp", 109_386), ("cnn", 105_866)])
def test_parameters(name: str, count: int, figures: dict[str, Any]) -> None:
    result = figures["stages"]["profile"][name]
    assert result["parameters"] == count
    assert result["parameter_bytes"] == 4 * count


@pytest.mark.parametrize("name", ALL)
def test_profiles_add_up(name: str, figures: dict[str, Any]) -> None:
    result = figures["stages"]["profile"][name]
    for part, runs in (("forward", TINY.latency_runs), ("step", TINY.observed_runs)):
        found = result[part]
        assert len(found["timing"]["samples"]) == runs
        passes = {path: np.array(times) for path, times in found["passes"].items()}
        whole = np.sum(list(passes.values()), axis=0)
        for row in found["modules"]:
            assert math.isclose(row["share"]["value"], np.median(passes[row["path"]] / whole), abs_tol=1e-12)
        for rows in (found["modules"], found["ops"]):
            assert sum(row["bytes"] for row in rows) == found["bytes"]
            assert sum(row["matmul_flops"] for row in rows) == found["matmul_flops"]
            backward = sum(row["backward_seconds"] for row in rows)
            assert backward > 0 if part == "step" else backward == 0
        assert found["overhead"]["value"] > 0
    steps = {row["path"] for row in result["step"]["modules"]}
    assert {"loss", "optimizer"} < steps
    assert {row["path"] for row in result["forward"]["modules"]} <= steps
    p50, p95 = result["forward"]["timing"]["p50"], result["forward"]["timing"]["p95"]
    for found in (p50, p95):  # a busy machine makes runs alike, and may leave an end open
        assert found["low"] is None or found["low"] <= found["value"]
        assert found["high"] is None or found["high"] >= found["value"]


def test_profiling_leaves_the_trained_weights_alone(journey: Journey, figures: dict[str, Any]) -> None:
    again = numpy_logits(journey.models["mlp"], data.load("fashion", "test").images[:200]).argmax(axis=1)
    assert figures["stages"]["train"]["mlp"]["predictions"] == "".join(map(str, again))


def test_shipped_weights_are_measured_as_the_trained_ones(
    journey: Journey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    for name in ("mlp", "gpt"):
        models.save_weights(journey.models[name], weights / f"{name}.safetensors")  # type: ignore[arg-type]
    monkeypatch.setattr(pretrained, "_SHIPPED", weights)
    again = take_journey(("mlp", "gpt"), tmp_path, scale=TINY, seed=3, stages=[Train()]).results["train"]
    first = journey.results["train"]
    assert again["mlp"].shipped.test == first["mlp"].test_accuracy.value == again["mlp"].test_accuracy.value
    assert again["gpt"].shipped.test == pytest.approx(first["gpt"].test_bits, rel=1e-6)
    assert again["gpt"].shipped.validation == pytest.approx(first["gpt"].validation_bits, rel=1e-6)
    assert again["gpt"].text == first["gpt"].text
    shown = Page((tmp_path / "index.html").read_text(encoding="utf-8")).words
    assert f"trained for longer, need {first['gpt'].test_bits:.3f}" in shown


def test_damaged_shipped_weights_do_not_stop_the_journey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlp.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr(pretrained, "_SHIPPED", tmp_path)
    result = take_journey(["mlp"], tmp_path / "out", scale=TINY, stages=[Train()]).results["train"]["mlp"]
    assert result.shipped.test is None
    assert "not a whole safetensors file" in result.shipped.reason


def test_full_and_quick_scales() -> None:
    assert FULL.test_images is None
    assert FULL.test_bytes is None
    assert QUICK.name == "quick"
    assert 72 <= QUICK.latency_runs < FULL.latency_runs  # so that p95 has an upper bound


# ---------------------------------------------------------------- the page


def test_the_page_is_well_formed_and_needs_nothing_else(page: str, figures: dict[str, Any]) -> None:
    found = Page(page)
    assert found.problems == []
    assert "script" not in found.tags
    assert "iframe" not in found.tags
    compressed = figures["stages"]["compress"].values()
    panels = [len(picture["panels"]) for model in compressed for picture in model["pictures"]]
    assert found.tags.count("img") == 2 * (8 + 4) + sum(panels)
    on_codes = figures["stages"]["quantize"].values()
    drawn = [len(model["weights"]) + len(model["activations"]) + 2 for model in on_codes]
    cached = figures["stages"]["cache"]
    assert list(cached) == ["gpt"]
    assert found.tags.count("svg") == 2 + 2 + 1 + sum(drawn) + len(compressed) + 2 * len(cached)
    assert "prefers-color-scheme" in page


def test_the_page_shows_the_figures(page: str, figures: dict[str, Any]) -> None:
    words = Page(page).words
    stages = figures["stages"]
    assert f"{stages['train']['mlp']['test_accuracy']['value'] * 100:.1f} %" in words
    assert f"{stages['train']['gpt']['test_bits']:.3f} bits per byte" in words
    assert "109,386" in words
    assert "No shipped weights" in words
    assert "tito <journey>" in words
    assert figures["run"]["machine"]["processor"] in words
    assert "3-gram" in words
    for row in stages["profile"]["cnn"]["forward"]["modules"]:
        assert row["path"] in words


def test_images_are_those_of_the_data(page: str) -> None:
    import base64
    import io

    from matplotlib.image import imread

    images = data.load("fashion", "test")
    sources = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    shown = [(imread(io.BytesIO(base64.b64decode(s)))[..., 0] * 255).round() for s in sources]
    assert any(np.array_equal(images.pixels[i, 0], shown[0]) for i in range(200))


def test_what_models_say_is_escaped(journey: Journey) -> None:
    results = dict(journey.results["train"])
    evil = "</style><script>alert(1)</script>\x00\x1b & \u202e"
    results["mlp"] = replace(results["mlp"], classes=(evil,) * 10, data="fashion")
    results["gpt"] = replace(results["gpt"], text=evil, prompt="<b onclick=x>")
    section = Train().section(journey, results)
    found = Page(str(section))
    assert found.problems == []
    assert "script" not in found.tags
    assert "\x00" not in section
    assert "\x1b" not in section
    assert "<script>alert(1)</script>" in found.words


def test_the_picture_is_one_svg_that_needs_nothing_else(journey: Journey, folder: Path) -> None:
    root = ElementTree.fromstring((folder / "p.svg").read_text(encoding="utf-8"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    elements = list(root.iter())
    assert not [e for e in elements if any("href" in name for name in e.attrib)]
    said = {e.text for e in elements if e.text}
    assert {"layers.0", "conv2", "blocks.*.attn"} <= said
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for panel in root.findall("{http://www.w3.org/2000/svg}svg"):
        assert float(panel.attrib["x"]) + float(panel.attrib["width"]) <= width
        assert float(panel.attrib["y"]) + float(panel.attrib["height"]) <= height

"""The stage that compresses: its points against the models they are of, its plot, its pictures, its page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.journey.html_check import Page
from tests.journey.scales import TEXT, TINY
from tinytorch import models
from tinytorch.autograd import no_grad
from tinytorch.compression.prune import prune
from tinytorch.compression.shrunk import Shrunk
from tinytorch.compression.structure import shrink
from tinytorch.journey import Journey, page
from tinytorch.journey.compress import CUTS, CompressStage
from tinytorch.journey.compressed import OnFewer, Point, gain, pays, remarks
from tinytorch.journey.pareto import chart_of
from tinytorch.journey.pictures import GONE, ZERO, decoded, filters, maps, weight_codes, zero_map
from tinytorch.journey.quantize import QuantizeStage, part_of
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.timing.comparison import FASTER, SAME, SLOWER
from tinytorch.quantization import samples
from tinytorch.quantization.speed import Race
from tinytorch.random import Generator

pytest.importorskip("llvmlite")
CONFIG = {"mlp": {"sizes": (784, 32, 10)}, "gpt": TEXT["config"]}
BITS = ["float16", "int8", "int4-g128"]


@pytest.fixture(scope="module")
def journey() -> Journey:
    found = Journey(tuple(CONFIG), TINY)
    for name, config in CONFIG.items():
        found.models[name] = models.build(name, **config, generator=Generator(1))
    found.results["quantize"] = {"mlp": QuantizeStage().run(found, "mlp")}
    found.results["compress"] = {name: CompressStage().run(found, name) for name in CONFIG}
    return found


@pytest.fixture(scope="module")
def mlp(journey: Journey) -> OnFewer:
    found: OnFewer = journey.results["compress"]["mlp"]
    return found


@pytest.fixture(scope="module")
def gpt(journey: Journey) -> OnFewer:
    found: OnFewer = journey.results["compress"]["gpt"]
    return found


def named(result: OnFewer, name: str) -> Point:
    found = result.named(name)
    assert found is not None, name
    return found


# ---------------------------------------------------------------- figures


def test_points_of_images(mlp: OnFewer) -> None:
    cuts = ["50 %", "70 %", "90 %", "70 % + int8"]
    first, last = ["float32", "float32, encoded", *BITS, *cuts], ["by layer", "shared", "codes", "half"]
    assert [point.name for point in mlp.points] == [*first, *last]
    for share, name in zip((*CUTS, 0.7), cuts, strict=True):
        assert named(mlp, name).sparsity == pytest.approx(share, abs=1e-4)
    sizes = [named(mlp, name).file for name in ("float32", "float32, encoded", "50 %", "70 %", "90 %")]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    assert named(mlp, "70 % + int8").file < named(mlp, "70 %").file
    assert named(mlp, "shared").file < named(mlp, "by layer").file


def test_float32_is_the_model_in_two_files(journey: Journey, mlp: OnFewer) -> None:
    model, (plain, encoded) = journey.models["mlp"], mlp.points[:2]
    (x, labels), *_ = samples.splits_for(model, "fashion", journey.seed).test
    with no_grad():
        right = (model(x).data.argmax(1) == labels.data).mean()  # type: ignore[union-attr]
    assert plain.figure == encoded.figure == pytest.approx(right)
    assert plain.lost is encoded.lost is None
    assert plain.race is encoded.race is None
    weights = sum(p.data.nbytes for p in model.parameters())
    assert plain.resident == encoded.resident == weights
    assert encoded.file < plain.file
    assert weights < plain.file < weights + 8192


def test_zeros_take_memory_as_before_and_codes_and_half_do_not(mlp: OnFewer) -> None:
    for name in ("50 %", "70 %", "90 %", "by layer", "shared"):
        assert named(mlp, name).resident == mlp.whole.resident
    for name in ("codes", "70 % + int8"):
        assert 3.5 < mlp.whole.resident / named(mlp, name).resident < 4.1
    # half of the 32 neurons: 784 x 16 + 16 and 16 x 10 + 10 numbers of four bytes
    assert named(mlp, "half").resident == 4 * (784 * 16 + 16 + 16 * 10 + 10)


def test_the_time_of_float32_is_that_of_a_race(mlp: OnFewer) -> None:
    race = named(mlp, "50 %").race
    assert race is not None
    assert mlp.time == race.before
    without = tuple(replace(point, race=None) for point in mlp.points)
    assert replace(mlp, points=without).time is None


def test_what_is_lost_is_the_difference_of_both_figures(mlp: OnFewer) -> None:
    for point in mlp.points[2:]:
        assert point.lost is not None
        assert point.lost.value == pytest.approx(mlp.whole.figure - point.figure, abs=1e-9)


def test_the_stage_before_gives_its_forms(journey: Journey, mlp: OnFewer) -> None:
    for form in journey.results["quantize"]["mlp"].forms[1:]:
        point = named(mlp, form.name)
        assert (point.file, point.figure, point.lost) == (form.file, form.figure, form.lost)
        assert point.race is None


def test_without_that_stage_the_rest_is_there(journey: Journey, gpt: OnFewer) -> None:
    names = ["float32", "float32, encoded", "50 % Wanda", "shared"]
    assert [point.name for point in gpt.points] == names
    assert gpt.epochs == 0
    wanda = named(gpt, "50 % Wanda")
    assert wanda.sparsity == pytest.approx(0.5, abs=0.01)
    assert wanda.lost is not None
    assert wanda.lost.value == pytest.approx(wanda.figure / gpt.whole.figure - 1, rel=1e-3, abs=1e-9)
    found = gpt.wanda
    assert found is not None
    assert found.before == pytest.approx(wanda.figure)
    assert found.after != found.before
    by_size = prune(journey.models["gpt"], 0.5, scope="output").model
    some = part_of(samples.splits_for(journey.models["gpt"], "pydocs", 0), journey, "gpt").test
    assert found.after == pytest.approx(samples.tested(by_size, by_size, some).before)


def test_the_chosen_one_is_one_of_those_made(mlp: OnFewer, gpt: OnFewer) -> None:
    assert mlp.points[mlp.kept].name in ("by layer", "shared", "codes")
    assert gpt.kept >= 2
    for result in (mlp, gpt):
        cells = CompressStage().figures(result)
        kept = result.points[result.kept]
        assert cells["compressed file"] == f"{result.whole.file / kept.file:.1f}x smaller"
        assert kept.lost is not None
        assert cells["compressed loses"].startswith(f"{100 * kept.lost.value:.2f} ")
    assert "half the channels" in CompressStage().figures(mlp)
    assert "half the channels" not in CompressStage().figures(gpt)


def test_trained_models_stay_as_they_were(journey: Journey) -> None:
    for name, config in CONFIG.items():
        fresh = models.build(name, **config, generator=Generator(1))
        pairs = zip(fresh.parameters(), journey.models[name].parameters(), strict=True)
        assert all(np.array_equal(a.data, b.data) for a, b in pairs)


# ---------------------------------------------------------------- what pays


def test_fewer_bits_per_byte_are_better(mlp: OnFewer, gpt: OnFewer) -> None:
    low, high = replace(gpt.points[0], file=10, figure=1.0), replace(gpt.points[0], file=10, figure=2.0)
    assert replace(gpt, points=(low, high)).front() == (0,)
    assert replace(mlp, points=(low, high)).front() == (1,)


def raced(word: str, value: float) -> Race:
    one = Estimate(1.0, 1.0, 1.0)
    return Race(one, one, Estimate(value, value, value), word)


@pytest.mark.parametrize(
    ("file", "resident", "race", "text"),
    [
        (900, 1000, None, "file"),
        (960, 1000, raced(SAME, 1.1), "nothing"),
        (900, 500, raced(FASTER, 2.0), "file, memory, time"),
        (2000, 1000, raced(FASTER, 1.01), "nothing"),
        (2000, 1000, raced(SLOWER, 0.5), "nothing"),
    ],
)
def test_what_pays(file: int, resident: int, race: Race | None, text: str, mlp: OnFewer) -> None:
    base = replace(mlp.points[1], file=1000, resident=1000)
    assert pays(replace(base, file=file, resident=resident, race=race), base) == text


def test_gains_that_are_not_shown_are_none() -> None:
    assert [gain(raced(*one)) for one in ((FASTER, 2.0), (SLOWER, 0.5), (SAME, 1.3))] == [
        "2.00x",
        "0.50x",
        "none",
    ]


def test_remarks_follow_the_figures(mlp: OnFewer, gpt: OnFewer) -> None:
    said = dict(remarks(mlp))
    assert "Wanda beside magnitude" not in said
    assert f"{mlp.whole.file / named(mlp, 'shared').file:.1f}x" in said["Few numbers"]
    slow = replace(named(mlp, "90 %"), race=raced(SLOWER, 0.5))
    points = tuple(slow if point.name == "90 %" else point for point in mlp.points)
    assert "2.0x slower" in dict(remarks(replace(mlp, points=points)))["Single zeros"]
    assert mlp.sparse is not None
    assert gpt.sparse is None
    assert "No layer of this model was tried" in dict(remarks(gpt))["Sparse kernels"]
    row = replace(mlp.sparse.rows[0], gains={"csr": Estimate(3.0, 2.9, 3.1)})
    for chosen, text in (("dense", "it pays in no layer"), ("csr", "in 1 of 1 layers, layers.0: 3.00x")):
        sparse = replace(mlp.sparse, rows=(replace(row, chosen=chosen),), whole=raced(SLOWER, 0.5))
        assert text in dict(remarks(replace(mlp, sparse=sparse)))["Sparse kernels"]
    never = replace(mlp, even=replace(mlp.even, at=None))
    assert "not as fast as dense" in dict(remarks(never))["Sparse kernels"]
    for low, word in (
        (0.01, "more (+2.00 %"),
        (-0.03, "less (-2.00 %"),
        (-0.01, "no more that could be shown"),
    ):
        value = 0.0 if word.startswith("no") else low + 0.01
        lost = Estimate(value, low, low + 0.02)
        found = replace(gpt, wanda=samples.Tested("bits per byte", 2.0, 2.0, lost))
        assert f"Magnitude needs {word}" in dict(remarks(found))["Wanda beside magnitude"]


# ---------------------------------------------------------------- pictures


def test_codes_of_weights() -> None:
    values = np.array([0.0, -0.0, 1e-9, -1e-9, 0.5, -0.5, 1.0, 7.0])
    codes = weight_codes(values, 1.0).astype(int)
    assert codes[0] == codes[1] == ZERO
    assert codes[2] > ZERO > codes[3], "what is not 0 is seen"
    assert codes[4] - ZERO == ZERO - codes[5]
    assert codes[2] < codes[4] < codes[6] == codes[7] == 255


def test_maps_of_zeros_are_means_of_their_cells() -> None:
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((70, 33, 3, 3)) * (rng.random((70, 33, 3, 3)) < 0.3)
    weight[:3] = 0
    found = decoded(zero_map("", weight)).astype(int)
    assert found.shape == (32, 64)
    flat = weight.reshape(70, -1) != 0
    for row in range(32):
        for column in range(64):
            top, bottom = row * 70 // 32, (row + 1) * 70 // 32
            left, right = column * 297 // 64, (column + 1) * 297 // 64
            cell = flat[top:bottom, left:right]
            assert found[row, column] == pytest.approx(ZERO + 127 * cell.mean(), abs=1.01)
            assert (found[row, column] == ZERO) == (not cell.any())


def test_one_weight_among_many_is_seen_on_the_map() -> None:
    weight = np.zeros((640, 640))
    weight[100, 300] = -1e-9
    found = decoded(zero_map("", weight))
    assert np.argwhere(found != ZERO).tolist() == [[5, 30]]


def test_filters_are_shown_where_they_are(journey: Journey) -> None:
    model = models.CNN(generator=Generator(2))
    half: Shrunk = shrink(model, None, 0.5)
    pruned = prune(model, 0.7, scope="layer").model
    (picture,) = filters(model, pruned, "70 %", half)
    kept = next(row for row in half.report.groups if "conv1" in (row.name, *row.layers)).kept
    whole, zeros, fewer = map(decoded, picture.panels)
    weight, left = model.conv1.weight.data[:, 0], pruned.conv1.weight.data[:, 0]  # type: ignore[attr-defined]
    assert whole.shape == (17, 17)
    for number in range(16):
        top, column = number // 4 * 4 + 1, number % 4 * 4 + 1
        place = np.s_[top : top + 3, column : column + 3]
        assert np.array_equal(whole[place] > ZERO, weight[number] > 0)
        assert np.array_equal(zeros[place] == ZERO, left[number] == 0)
        assert np.array_equal(fewer[place], whole[place] if number in kept else np.full((3, 3), GONE))
    assert (whole[0] == GONE).all()


def test_a_picture_is_an_image_that_the_page_shows_through() -> None:
    import base64
    import io

    from matplotlib.image import imread

    (picture,) = [maps("", {"": models.MLP((8, 4))})]
    panel = replace(picture.panels[0], height=1, width=4, cells=bytes([GONE, 1, ZERO, 255]).hex())
    kind, _, text = page.weights_png(panel).partition(",")
    assert kind == "data:image/png;base64"
    gone, below, zero, above = (imread(io.BytesIO(base64.b64decode(text)))[0] * 255).round()
    assert zero[3] == 0
    assert below[3] == above[3] == 254
    assert below[0] > below[2], "orange"
    assert above[2] > above[0], "blue"
    assert 0 < gone[3] < 255


# ---------------------------------------------------------------- the page


@pytest.mark.parametrize("name", list(CONFIG))
def test_better_is_higher_and_smaller_is_on_the_left(name: str, journey: Journey) -> None:
    result: OnFewer = journey.results["compress"][name]
    svg = chart_of(result)
    discs = [e for e in svg.iter("circle") if e.get("class", "").startswith("technique")]
    assert len(discs) == len(result.points)
    sign = 1 if result.figure == "accuracy" else -1
    for one, first in zip(result.points, discs, strict=True):
        for other, second in zip(result.points, discs, strict=True):
            if one.file < other.file:
                assert float(first.get("cx", "")) <= float(second.get("cx", ""))
            if sign * one.figure > sign * other.figure:
                assert float(first.get("cy", "")) <= float(second.get("cy", ""))
    (line,) = svg.iter("polyline")
    assert len(line.get("points", "").split()) == len(result.front())
    (ring,) = (e for e in svg.iter("circle") if e.get("class") == "ring")
    assert (ring.get("cx"), ring.get("cy")) == (discs[result.kept].get("cx"), discs[result.kept].get("cy"))
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    assert all(0 < float(d.get("cx", "")) < width and 0 < float(d.get("cy", "")) < height for d in discs)


def test_the_page_shows_it(journey: Journey) -> None:
    stage, results = CompressStage(), journey.results["compress"]
    shown = Page(f"<!doctype html><html><body>{stage.section(journey, results)}</body></html>")
    assert shown.problems == []
    for words in ("MLP: size against accuracy", "GPT: size against bits per byte", "Nothing was trained"):
        assert words in shown.words
    for result in results.values():
        for point in result.points:
            assert point.name in shown.words
    assert shown.tags.count("img") == sum(len(p.panels) for r in results.values() for p in r.pictures)
    assert ("does not meet what was asked for" in shown.words) == (not all(r.met for r in results.values()))

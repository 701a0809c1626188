"""Charts: points where the scale puts them, labels that do not overlap, text that is escaped."""

import math
import re
from dataclasses import replace
from itertools import pairwise
from xml.etree.ElementTree import Element

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.profiling.profiles import ROOF, gpt, one_run, plain_callable, timing
from tinytorch.profiling.report import chart
from tinytorch.profiling.report.chart import BOTTOM, HEIGHT, LEFT, LINE, RIGHT, TOP, WIDTH, Bar, Curve, Level
from tinytorch.profiling.report.chart_roofline import roofline
from tinytorch.profiling.report.chart_series import distribution, memory_timeline, run_order

FIGURES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


def test_points_lie_where_the_axes_say() -> None:
    svg = chart.curves("t", "step", [Curve("a", [0, 5, 10], [0.0, 1.0, 2.0], "train")])
    (line,) = svg.findall("polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    ticks = {
        e.text: float(e.attrib["y"]) - 4 for e in svg.findall("text") if e.attrib["text-anchor"] == "end"
    }
    assert [y for _, y in points] == [ticks["0"], ticks["1"], ticks["2"]]
    assert [x for x, _ in points] == [LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT]


@given(FIGURES, FIGURES)
def test_everything_stays_on_the_paper(y: list[float], levels: list[float]) -> None:
    line = Curve("a", [float(i) for i in range(len(y))], y, "validation")
    svg = chart.curves("t", "step", [line], [Level(f"l{i}", v) for i, v in enumerate(levels[:5])])
    for point in svg.find("polyline").attrib["points"].split():  # type: ignore[union-attr]
        across, down = map(float, point.split(","))
        assert LEFT - 0.1 <= across <= WIDTH - RIGHT + 0.1
        assert TOP - 0.1 <= down <= HEIGHT - BOTTOM + 0.1
    labels = sorted(float(e.attrib["y"]) for e in svg.findall("text") if "label" in e.attrib["class"])
    assert all(after - before >= LINE - 0.2 for before, after in pairwise(labels))
    assert labels[-1] <= HEIGHT - BOTTOM + 8.1


def test_bars_are_as_long_as_their_figures() -> None:
    rows = [Bar("a", [(3.0, "forward"), (1.0, "backward")], "4"), Bar("b", [(2.0, "forward")], "2")]
    svg = chart.bars("t", rows, ("forward", "backward"))
    widths = [float(e.attrib["width"]) for e in svg.findall("rect")[2:]]
    assert widths[0] == 3 * widths[1]
    assert widths[2] == 2 * widths[1]


def test_labels_are_escaped() -> None:
    text = chart.markup(chart.bars("<b>", [Bar("<script>", [(1.0, 'x"y')], "&")], ()))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert 'x"y' not in text


@given(FIGURES, st.integers(1, 50))
def test_thinning_keeps_the_mean(values: list[float], most: int) -> None:
    places, means, size = chart.thinned(values, most)
    assert len(places) == len(means) <= most + 1
    counts = [min(size, len(values) - i * size) for i in range(len(means))]
    total = sum(m * n for m, n in zip(means, counts, strict=True))
    assert abs(total - sum(values)) <= 1e-6 * max(1.0, sum(map(abs, values)))
    assert 1 <= places[0] <= places[-1] <= len(values)


# ---------------------------------------------------------------- roofline, runs, memory


def marks(svg: Element, tag: str, kind: str) -> list[Element]:
    return [e for e in svg.iter(tag) if e.attrib.get("class", "").split()[:1] == [kind]]


def at(svg: Element, said: str) -> tuple[float, float]:
    """Where the tick with that text stands."""
    found = next(e for e in svg.iter("text") if e.text == said and e.attrib["class"] == "tick")
    return float(found.attrib["x"]), float(found.attrib["y"]) - 4


def test_modules_lie_at_the_logarithms_of_intensity_and_rate() -> None:
    profile = gpt()
    svg = roofline(profile, 980, 460)
    assert svg is not None
    one, ten = at(svg, "1")[0], at(svg, "10")[0]
    low, high = at(svg, "1 G")[1], at(svg, "10 G")[1]
    discs = marks(svg, "circle", "point")
    rows = sorted((r for r in profile.modules if r.flops), key=lambda r: -r.self_seconds.value)
    assert len(discs) == len(rows)
    for disc, row in zip(discs, rows, strict=True):
        assert row.flops is not None
        x = one + (ten - one) * math.log10(row.flops / row.bytes)
        y = low + (high - low) * math.log10(row.flops / row.self_seconds.value / 1e9)
        assert float(disc.attrib["cx"]) == pytest.approx(x, abs=0.3)
        assert float(disc.attrib["cy"]) == pytest.approx(y, abs=0.3)
        assert disc.attrib["class"].split()[1] == row.bound


@pytest.mark.parametrize("slowest", [11.5e9, 0.4e9])
def test_roofs_lie_where_bandwidth_and_peak_say(slowest: float) -> None:
    bandwidths = {**ROOF.bandwidths, "memory": slowest}
    svg = roofline(replace(gpt(), roof=replace(ROOF, bandwidths=bandwidths)), 980, 460)
    assert svg is not None
    one, ten = at(svg, "1")[0], at(svg, "10")[0]
    low, high = at(svg, "1 G")[1], at(svg, "10 G")[1]

    def intensity(x: str) -> float:
        return 10.0 ** ((float(x) - one) / (ten - one))

    def rate(y: str) -> float:
        return 1e9 * 10.0 ** ((float(y) - low) / (high - low))

    *slanted, flat = marks(svg, "line", "roof")
    for line, bandwidth in zip(slanted, bandwidths.values(), strict=True):
        for end in ("1", "2"):
            reached = rate(line.attrib["y" + end]) / intensity(line.attrib["x" + end])
            assert reached == pytest.approx(bandwidth, rel=0.01)
        assert rate(line.attrib["y2"]) == pytest.approx(ROOF.flops, rel=0.01)
    assert rate(flat.attrib["y1"]) == rate(flat.attrib["y2"]) == pytest.approx(ROOF.flops, rel=0.01)


def test_names_on_the_roofline_do_not_cover_each_other() -> None:
    for width, height in ((980, 460), (360, 340)):
        svg = roofline(gpt(), width, height)
        assert svg is not None
        boxes = []
        for name in marks(svg, "text", "pointname"):
            assert name.text is not None
            long, anchor = 6.0 * len(name.text), name.attrib["text-anchor"]
            left = float(name.attrib["x"]) - {"start": 0, "middle": long / 2, "end": long}[anchor]
            boxes.append((left, float(name.attrib["y"]), left + long))
        assert len(boxes) >= 2
        for n, (left, y, right) in enumerate(boxes):
            assert left >= 0
            assert right <= width
            for other in boxes[:n]:
                assert abs(y - other[1]) > 9 or right < other[0] or other[2] < left


def test_there_is_no_roofline_without_a_roof_or_counted_modules() -> None:
    assert roofline(one_run()) is None
    assert roofline(replace(plain_callable(), roof=ROOF)) is None


def test_every_run_is_a_mark_and_the_far_one_is_at_the_edge() -> None:
    profile = gpt()
    assert profile.timing is not None
    svg = run_order(profile.timing)
    dots, far = marks(svg, "circle", "sample"), marks(svg, "polygon", "sample")
    assert (len(dots), len(far)) == (59, 1)
    tops = [float(dot.attrib["cy"]) for dot in dots]
    inside = [s for s in profile.timing.samples if s < profile.timing.max]
    assert tops.index(min(tops)) == inside.index(max(inside))
    assert tops.index(max(tops)) == inside.index(min(inside))
    assert any("1 beyond, to 16.4 ms" in (e.text or "") for e in svg.iter("text"))


@given(st.lists(st.floats(1e-6, 10.0), min_size=2, max_size=60))
def test_bars_hold_every_run_and_marks_stay_on_the_paper(samples: list[float]) -> None:
    made = timing(np.array(samples))
    svg = distribution(made, 500, 250)
    heights = [float(bar.attrib["height"]) for bar in marks(svg, "rect", "bin")]
    wholes = [[height / max(heights) * most for height in heights] for most in range(1, len(samples) + 1)]
    assert any(
        round(sum(counts)) == len(samples) and all(abs(c - round(c)) < 0.1 for c in counts)
        for counts in wholes
    )
    for circle in (*svg.iter("circle"), *run_order(made).iter("circle")):
        assert 0 <= float(circle.attrib["cx"]) <= 500
        assert 0 <= float(circle.attrib["cy"]) <= 250


def test_percentiles_stand_where_their_values_are() -> None:
    made = timing(np.random.default_rng(0).permutation(np.arange(1.0, 101.0)) / 1000)
    svg = distribution(made, 500, 250)
    x0, x1 = at(svg, "0")[0], at(svg, "100")[0]
    places = [float(circle.attrib["cx"]) for circle in marks(svg, "circle", "peak")]
    for place, percentile in zip(places, (50, 95, 99), strict=True):
        value = float(np.percentile(np.arange(1.0, 101.0), percentile))
        assert place == pytest.approx(x0 + (x1 - x0) * value / 100, abs=0.2)
    bars = marks(svg, "rect", "bin")
    assert len(bars) == math.ceil(99 / (2 * 49.5 / 100 ** (1 / 3)))  # Freedman and Diaconis
    assert len(marks(svg, "line", "range")) == 6
    (open_end,) = (line for line in marks(svg, "line", "range") if "open" in line.attrib["class"])
    assert float(open_end.attrib["x2"]) == x1
    assert float(open_end.attrib["x1"]) == places[2]


def test_memory_rises_to_its_peak() -> None:
    use = gpt().memory
    assert use is not None
    svg = memory_timeline(use)
    assert svg is not None
    path = next(svg.iter("path")).attrib["d"]
    levels = [float(y) for y in re.findall(r"V([\d.]+)", path)]
    (peak,) = marks(svg, "circle", "peak")
    assert float(peak.attrib["cy"]) == min(levels)
    zero, four = at(svg, "0")[1], at(svg, "4")[1]
    assert min(levels) == pytest.approx(zero + (four - zero) / 4 * use.peak / 2**20, abs=0.3)
    assert memory_timeline(replace(use, timeline=())) is None

"""Charts: points where the scale puts them, labels that do not overlap, text that is escaped."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tinytorch.journey import chart
from tinytorch.journey.chart import BOTTOM, HEIGHT, LEFT, LINE, RIGHT, TOP, WIDTH, Bar, Curve, Level

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

"""Charts as SVG elements: curves with direct labels, stacked bars, and the strokes that all charts share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree.ElementTree import Element, SubElement, tostring

WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 40, 114, 34, 40
LINE = 15  # least distance between two labels
LONG = 50  # points from which on a curve may begin outside the range


@dataclass(frozen=True)
class Curve:
    """A line through points; `tone` names its colour: train or validation."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    tone: str


@dataclass(frozen=True)
class Level:
    """A horizontal line to compare with; `tone` "ours" sets it apart from the others."""

    label: str
    y: float
    tone: str = "level"


@dataclass(frozen=True)
class Bar:
    """A row of stacked lengths, each with the name of its colour, and the text at its end."""

    label: str
    parts: Sequence[tuple[float, str]]
    text: str


def curves(title: str, x_label: str, lines: Sequence[Curve], levels: Sequence[Level] = ()) -> Element:
    """A chart of curves, labelled at their ends, over a range that shows their later part in full.

    A value outside the range, as in the first steps of training, is cut off at its edge.
    """
    svg = sheet(WIDTH, HEIGHT, f"{title}, by {x_label}")
    draw_text(svg, 2, 16, title, "name")
    axes = _Axes(_x_range(lines), ticks(*_y_range(lines, levels)))
    axes.draw(svg, x_label)
    ends: list[tuple[float, str, str]] = []
    for level in levels:
        y = axes.y(level.y)
        draw_line(svg, LEFT, y, WIDTH - RIGHT, y, f"level {level.tone}")
        ends.append((y, f"{level.label} {_figure(level.y)}", level.tone))
    for line in (line for line in lines if line.x):
        points = [(axes.x(x), axes.y(y)) for x, y in zip(line.x, line.y, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        SubElement(svg, "polyline", {"points": path, "class": f"curve {line.tone}"})
        x, y = points[-1]
        dot = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "3", "class": f"dot {line.tone}"}
        SubElement(svg, "circle", dot)
        ends.append((y, f"{line.label} {_figure(line.y[-1])}", line.tone))
    for y, (_, label, tone) in zip(_apart([end[0] for end in ends]), ends, strict=True):
        draw_text(svg, WIDTH - RIGHT + 8, y + 4, label, f"label {tone}")
    return svg


@dataclass(frozen=True)
class _Axes:
    """Where figures lie on the paper: x over a range, y from the first tick to the last."""

    range: tuple[float, float]
    ticks: Sequence[float]

    def x(self, value: float) -> float:
        low, high = self.range
        return LEFT + (value - low) / (high - low) * (WIDTH - RIGHT - LEFT)

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        part = min(1.0, max(0.0, (value - low) / (high - low)))
        return HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - TOP)

    def draw(self, svg: Element, x_label: str) -> None:
        """The grid and its figures."""
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        for tick in self.ticks:
            draw_line(svg, LEFT, self.y(tick), right, self.y(tick), "grid")
            draw_text(svg, LEFT - 8, self.y(tick) + 4, _short(tick), "tick", "end")
        for tick in ticks(*self.range):
            if self.range[0] <= tick <= self.range[1]:
                draw_text(svg, self.x(tick), bottom + 18, _short(tick), "tick", "middle")
        draw_text(svg, right, bottom + 34, x_label, "tick", "end")


def bars(title: str, rows: Sequence[Bar], key: Sequence[str], label_width: int = 142) -> Element:
    """A chart of horizontal bars, the longest filling the width that labels and texts leave.

    `key`: names of the colours that it uses.
    """
    height = 30 + 20 * len(rows)
    svg = sheet(WIDTH, height, title)
    draw_text(svg, 2, 16, title, "name")
    for number, tone in enumerate(reversed(key)):
        left = WIDTH - 76 - 76 * number
        square = {"x": str(left), "y": "7", "width": "9", "height": "9", "class": f"bar {tone}"}
        SubElement(svg, "rect", square)
        draw_text(svg, left + 13, 16, tone, "tick")
    longest = max((sum(length for length, _ in row.parts) for row in rows), default=0.0) or 1.0
    scale = (WIDTH - label_width - 66) / longest
    for number, row in enumerate(rows):
        y = 30 + 20 * number
        draw_text(svg, label_width - 8, y + 11, row.label, "tick", "end")
        x = float(label_width)
        for length, tone in row.parts:
            size = {"x": f"{x:.1f}", "y": str(y), "width": f"{length * scale:.1f}", "height": "14"}
            SubElement(svg, "rect", {**size, "class": f"bar {tone}"})
            x += length * scale
        draw_text(svg, x + 6, y + 11, row.text, "tick")
    return svg


def markup(svg: Element) -> str:
    """The text of an element, with everything in it escaped."""
    return tostring(svg, encoding="unicode")


def thinned(values: Sequence[float], most: int = 100) -> tuple[list[float], list[float], int]:
    """At most about `most` means of neighbouring values: (positions, means, how many went into one).

    Positions count from 1; a mean stands at the middle of its neighbours.

    >>> thinned([1.0, 3.0, 5.0, 7.0], most=2)
    ([1.5, 3.5], [2.0, 6.0], 2)
    """
    size = max(1, -(-len(values) // most))
    groups = [values[i : i + size] for i in range(0, len(values), size)]
    middles = [i * size + (len(group) + 1) / 2 for i, group in enumerate(groups)]
    return middles, [sum(group) / len(group) for group in groups], size


def _x_range(lines: Sequence[Curve]) -> tuple[float, float]:
    found = [x for line in lines for x in line.x] or [0.0, 1.0]
    return min(0.0, *found), max(*found, 1.0)


def _y_range(lines: Sequence[Curve], levels: Sequence[Level]) -> tuple[float, float]:
    """From the least value to the largest, levels included; of long curves without their first eighth."""
    shown = [level.y for level in levels]
    for line in lines:
        shown += line.y[len(line.y) // 8 if len(line.y) >= LONG else 0 :]
    return (min(shown), max(shown)) if shown else (0.0, 1.0)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` or below it to `high` or above it, about five steps apart.

    >>> ticks(1.0, 9.0)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    from matplotlib.ticker import MaxNLocator

    spread = (high - low) or abs(high) or 1.0
    found = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, low + spread)
    return [float(tick) for tick in found]


def _figure(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def _short(tick: float) -> str:
    return f"{tick / 1000:g}k" if abs(tick) >= 10_000 else f"{round(tick, 6):g}"


def _apart(positions: Sequence[float]) -> list[float]:
    """Positions moved so that no two are nearer than a line, in the same order and as little as needed."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    placed = list(positions)
    for above, here in pairwise(order):
        placed[here] = max(placed[here], placed[above] + LINE)
    limit = float(HEIGHT - BOTTOM + 4)
    for here in reversed(order):
        placed[here] = min(placed[here], limit)
        limit = placed[here] - LINE
    return placed


@dataclass(frozen=True)
class Scale:
    """Where values lie on the paper: `low` at `start`, `high` at `end`, in between in proportion.

    >>> Scale(0.0, 10.0, 100.0, 200.0).at(2.5), Scale(0.0, 10.0, 100.0, 200.0).at(99.0)
    (125.0, 200.0)
    """

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value; of one outside the range, its edge."""
        part = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + min(1.0, max(0.0, part)) * (self.end - self.start)


def sheet(width: float, height: float, title: str, description: str = "") -> Element:
    """An empty chart with a title and a description for those who cannot see it."""
    svg = Element("svg", {"viewBox": f"0 0 {width:g} {height:g}", "class": "chart", "role": "img"})
    SubElement(svg, "title").text = title
    if description:
        SubElement(svg, "desc").text = description
    return svg


def draw_line(parent: Element, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
    """Draw a line; `kind` is its class."""
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    SubElement(parent, "line", {**{name: f"{v:.1f}" for name, v in ends.items()}, "class": kind})


def draw_text(parent: Element, x: float, y: float, text: str, kind: str, anchor: str = "start") -> Element:
    """Draw text that starts, ends or has its middle at a point."""
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": kind}
    element = SubElement(parent, "text", place)
    element.text = text
    return element

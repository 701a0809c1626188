"""Charts as SVG elements: curves with direct labels, and stacked bars; colours come from the page's style."""

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
    svg = Element("svg", {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "class": "chart", "role": "img"})
    SubElement(svg, "title").text = f"{title}, by {x_label}"
    _text(svg, 2, 16, title, "name")
    axes = _Axes(_x_range(lines), _ticks(*_y_range(lines, levels)))
    axes.draw(svg, x_label)
    ends: list[tuple[float, str, str]] = []
    for level in levels:
        y = axes.y(level.y)
        _line(svg, LEFT, y, WIDTH - RIGHT, y, f"level {level.tone}")
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
        _text(svg, WIDTH - RIGHT + 8, y + 4, label, f"label {tone}")
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
            _line(svg, LEFT, self.y(tick), right, self.y(tick), "grid")
            _text(svg, LEFT - 8, self.y(tick) + 4, _short(tick), "tick", "end")
        for tick in _ticks(*self.range):
            if self.range[0] <= tick <= self.range[1]:
                _text(svg, self.x(tick), bottom + 18, _short(tick), "tick", "middle")
        _text(svg, right, bottom + 34, x_label, "tick", "end")


def bars(title: str, rows: Sequence[Bar], key: Sequence[str], label_width: int = 142) -> Element:
    """A chart of horizontal bars, the longest filling the width that labels and texts leave.

    `key`: names of the colours that it uses.
    """
    height = 30 + 20 * len(rows)
    svg = Element("svg", {"viewBox": f"0 0 {WIDTH} {height}", "class": "chart", "role": "img"})
    SubElement(svg, "title").text = title
    _text(svg, 2, 16, title, "name")
    for number, tone in enumerate(reversed(key)):
        left = WIDTH - 76 - 76 * number
        square = {"x": str(left), "y": "7", "width": "9", "height": "9", "class": f"bar {tone}"}
        SubElement(svg, "rect", square)
        _text(svg, left + 13, 16, tone, "tick")
    longest = max((sum(length for length, _ in row.parts) for row in rows), default=0.0) or 1.0
    scale = (WIDTH - label_width - 66) / longest
    for number, row in enumerate(rows):
        y = 30 + 20 * number
        _text(svg, label_width - 8, y + 11, row.label, "tick", "end")
        x = float(label_width)
        for length, tone in row.parts:
            size = {"x": f"{x:.1f}", "y": str(y), "width": f"{length * scale:.1f}", "height": "14"}
            SubElement(svg, "rect", {**size, "class": f"bar {tone}"})
            x += length * scale
        _text(svg, x + 6, y + 11, row.text, "tick")
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


def _ticks(low: float, high: float) -> list[float]:
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
    for above, now in pairwise(order):
        placed[now] = max(placed[now], placed[above] + LINE)
    limit = float(HEIGHT - BOTTOM + 4)
    for now in reversed(order):
        placed[now] = min(placed[now], limit)
        limit = placed[now] - LINE
    return placed


def _line(parent: Element, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    SubElement(parent, "line", {**{name: f"{v:.1f}" for name, v in ends.items()}, "class": kind})


def _text(parent: Element, x: float, y: float, text: str, kind: str, anchor: str = "start") -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": kind}
    SubElement(parent, "text", place).text = text

"""The plot of size against figure: all points of the compress stage, and the line of the best of them."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element, SubElement

from tinytorch.journey.compressed import OnFewer, Point
from tinytorch.profiling import words
from tinytorch.profiling.report import chart
from tinytorch.profiling.report.chart_roofline import Box, Plane, place_name

WIDTH, HEIGHT = 560, 380
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 50, 44
RADIUS = 5.0
STEPS = 6  # between ticks of size, at most


def chart_of(result: OnFewer) -> Element:
    """Figures on test data against bytes of the file, on a scale of powers of two; upwards is better.

    Bars are the 95 % interval of what is lost against float32. The line joins the points that no other beats.
    """
    accuracy = result.figure == "accuracy"
    what = "Accuracy on test data, %" if accuracy else "Bits per byte of test text, fewer are higher up"
    title = f"{what}, by bytes of the file"
    svg = chart.sheet(WIDTH, HEIGHT, title, "Smaller files are on the left, better models above.")
    chart.draw_text(svg, 2, 16, title, "name")
    plane = _plane(result)
    _axes(svg, plane)
    discs = [_disc(plane, result, point) for point in result.points]
    best = sorted(result.front(), key=lambda number: result.points[number].file)
    path = " ".join(f"{_middle(discs[number])[0]:.1f},{_middle(discs[number])[1]:.1f}" for number in best)
    SubElement(svg, "polyline", {"points": path, "class": "curve train front"})
    for number, (point, disc) in enumerate(zip(result.points, discs, strict=True)):
        _draw(svg, plane, result, point, disc, chosen=number == result.kept)
    taken = list(discs)
    named_first = {result.kept, *best}
    for number in sorted(range(len(discs)), key=lambda n: (n not in named_first, discs[n].top)):
        place_name(svg, plane, discs[number], result.points[number].name, taken)
    return svg


def _figure(result: OnFewer, value: float) -> float:
    """As it is drawn: the better, the higher."""
    return 100 * value if result.figure == "accuracy" else -value


def _ends(result: OnFewer, point: Point) -> tuple[float, float]:
    """The 95 % interval of a point's figure, as that of what it loses against float32's."""
    lost, base = point.lost, result.whole.figure
    if lost is None or lost.low is None or lost.high is None:
        return _figure(result, point.figure), _figure(result, point.figure)
    sign = -1.0 if result.figure == "accuracy" else base
    ends = [_figure(result, base + sign * end) for end in (lost.low, lost.high)]
    return min(ends), max(ends)


def _plane(result: OnFewer) -> Plane:
    """Whole powers of two around all sizes, and round figures; half a point, or 2 % of bits, at least."""
    sizes = [math.log10(point.file) for point in result.points]
    room = 0.04 * (max(sizes) - min(sizes)) + 0.02
    ends = [_ends(result, point) for point in result.points]
    base = _figure(result, result.whole.figure)
    least = 0.25 if result.figure == "accuracy" else -0.01 * base
    marks = chart.ticks(
        min(base - least, *(low for low, _ in ends)), max(base + least, *(high for _, high in ends))
    )
    y = chart.Scale(marks[0], marks[-1], HEIGHT - BOTTOM, TOP)
    return Plane(chart.Scale(min(sizes) - room, max(sizes) + room, LEFT, WIDTH - RIGHT), y)


def _axes(svg: Element, plane: Plane) -> None:
    x, y = plane.x, plane.y
    for mark in chart.ticks(y.low, y.high):
        if y.low <= mark <= y.high:
            chart.draw_line(svg, x.start, y.at(mark), x.end, y.at(mark), "grid")
            chart.draw_text(svg, x.start - 8, y.at(mark) + 4, f"{abs(mark):.5g}", "tick", "end")
    first, last = (math.log2(10**end) for end in (x.low, x.high))
    powers = range(math.ceil(first), math.floor(last) + 1)
    for power in powers[:: max(1, math.ceil(len(powers) / STEPS))]:
        place = plane.across(2.0**power)
        chart.draw_line(svg, place, y.start, place, y.end, "grid")
        label = words.size(2**power).replace(".0 ", " ")
        chart.draw_text(svg, place, y.start + 18, label, "tick", "middle")
    chart.draw_text(svg, x.end, y.start + 36, "bytes of the file", "tick", "end")


def _disc(plane: Plane, result: OnFewer, point: Point) -> Box:
    x, y = plane.across(point.file), plane.y.at(_figure(result, point.figure))
    return Box(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)


def _middle(disc: Box) -> tuple[float, float]:
    return (disc.left + disc.right) / 2, (disc.top + disc.bottom) / 2


def _draw(svg: Element, plane: Plane, result: OnFewer, point: Point, disc: Box, chosen: bool) -> None:
    x, y = _middle(disc)
    low, high = _ends(result, point)
    chart.draw_line(svg, x, plane.y.at(low), x, plane.y.at(high), f"spread {point.kind}")
    place = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "class": f"technique {point.kind}"}
    if chosen:
        ring = {**place, "r": f"{RADIUS + 3.5:.1f}", "class": "ring"}
        SubElement(svg, "circle", ring)
    dot = SubElement(svg, "circle", {**place, "r": f"{RADIUS:.1f}"})
    SubElement(
        dot, "title"
    ).text = f"{point.name}: {words.size(point.file)}, {result.figure} {point.figure:.4f}"

"""The plot of an event: bytes of the file against quality, with the line of what no other beats."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from xml.etree.ElementTree import Element, SubElement

from tinytorch.benchmarking.events import Event
from tinytorch.benchmarking.pareto import front
from tinytorch.benchmarking.store.boards import Place
from tinytorch.profiling import words
from tinytorch.profiling.report.chart import Scale, draw_line, draw_text, sheet, ticks
from tinytorch.profiling.report.chart_roofline import Box, Plane, place_name

WIDTH, HEIGHT = 620, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 30, 34, 46
RADIUS = 5.0
NAMED = 12
"""Entries that are named at most; the table beside the plot has all."""


def on_front(event: Event, places: Sequence[Place]) -> tuple[int, ...]:
    """The places that no other beats in quality, size and latency at once."""
    sign = -1.0 if event.kind == "images" else 1.0
    says = [place.row.summary for place in places]
    return front([(sign * one.quality, float(one.file), one.latency) for one in says])


def plot(event: Event, places: Sequence[Place], best: Collection[int]) -> Element | None:
    """The chart as SVG; None where there is nothing to see. Better is higher up, smaller on the left.

    best: the numbers of the places on the front.
    """
    if len(places) < 2:
        return None
    title = f"{event.title}: {event.quality} by size of the file"
    svg = sheet(WIDTH, HEIGHT, title, "Each dot is an entry; the table beside the plot has the figures.")
    draw_text(svg, 2, 16, title, "name")
    plane = _plane(event, places)
    _axes(svg, event, plane)
    discs = [_disc(event, plane, place) for place in places]
    for number, disc in enumerate(discs):
        x, y = (disc.left + disc.right) / 2, (disc.top + disc.bottom) / 2
        kind = "dot validation" if number in best else "dot train"
        SubElement(svg, "circle", {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{RADIUS:g}", "class": kind})
    taken = list(discs)
    for number in sorted((n for n in best if n < len(places)), key=lambda n: places[n].rank)[:NAMED]:
        place_name(svg, plane, discs[number], places[number].row.team[:18], taken)
    return svg


def _shown(event: Event, quality: float) -> float:
    """As it is drawn: the better, the higher."""
    return 100 * quality if event.kind == "images" else -quality


def _plane(event: Event, places: Sequence[Place]) -> Plane:
    sizes = [math.log10(place.row.summary.file) for place in places]
    found = [_shown(event, place.row.summary.quality) for place in places]
    room = max((max(found) - min(found)) * 0.1, 0.2 if event.kind == "images" else 0.005)
    across = max((max(sizes) - min(sizes)) * 0.08, 0.1)
    return Plane(
        Scale(min(sizes) - across, max(sizes) + across, LEFT, WIDTH - RIGHT),
        Scale(min(found) - room, max(found) + room, HEIGHT - BOTTOM, TOP),
    )


def _disc(event: Event, plane: Plane, place: Place) -> Box:
    says = place.row.summary
    x, y = plane.across(says.file), plane.y.at(_shown(event, says.quality))
    return Box(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)


def _axes(svg: Element, event: Event, plane: Plane) -> None:
    found = ticks(plane.y.low, plane.y.high)
    step = found[1] - found[0] if len(found) > 1 else 1.0
    digits = max(0 if event.kind == "images" else 2, math.ceil(-math.log10(step) - 1e-9))
    for tick in found:
        if plane.y.low <= tick <= plane.y.high:
            y = plane.y.at(tick)
            draw_line(svg, LEFT, y, WIDTH - RIGHT, y, "grid")
            draw_text(svg, LEFT - 8, y + 4, f"{abs(tick):.{digits}f}", "tick", "end")
    for nbytes in _sizes(10**plane.x.low, 10**plane.x.high):
        x = plane.across(nbytes)
        draw_line(svg, x, TOP, x, HEIGHT - BOTTOM, "grid")
        draw_text(svg, x, HEIGHT - BOTTOM + 16, words.size(nbytes), "tick", "middle")
    draw_text(svg, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "size of the file", "tick", "middle")


def _sizes(low: float, high: float) -> list[int]:
    """Powers of two between two sizes, so far apart that there are six at most.

    >>> _sizes(20_000, 300_000)
    [32768, 65536, 131072, 262144]
    """
    first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
    step = max(1, -(-(last - first + 1) // 6))
    return [2**power for power in range(first, last + 1, step)]

"""Samples as pictures: in the order of the runs, as a distribution with percentiles; memory over time."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from tinytorch.profiling import words
from tinytorch.profiling.profile import MemoryUse, Timing
from tinytorch.profiling.report.chart import Scale, draw_line, draw_text, sheet, ticks
from tinytorch.profiling.report.outline import label
from tinytorch.profiling.statistics import Estimate

LEFT, RIGHT, TOP, BOTTOM = 62, 18, 16, 40
MOST_POINTS = 1500
FAR = 6  # interquartile ranges above the upper quartile from which a sample is drawn at the edge


def run_order(timing: Timing, width: int = 500, height: int = 240) -> Element:
    """Every run in its order: drift, steps and outliers show here and nowhere else."""
    samples = np.array(timing.samples)
    top = _reach(samples)
    unit, name = words.span(float(np.median(samples)))
    beyond = int((samples > top).sum())
    far = (
        f" {beyond} above {words.seconds(top)} are at the edge, up to {words.seconds(timing.max)}."
        if beyond
        else ""
    )
    svg = sheet(
        width,
        height,
        "Time of each run, in order",
        f"{samples.size} runs from {words.seconds(timing.min)} to {words.seconds(timing.max)}; "
        f"median {words.seconds(timing.p50.value)}.{far}",
    )
    marks = ticks(float(samples.min()) / unit, top / unit)
    x = Scale(1.0, float(max(samples.size, 2)), LEFT + 6, width - RIGHT - 6)
    y = Scale(marks[0], marks[-1], height - BOTTOM, TOP)
    _grid(svg, marks, y, width, name)
    step = -(-samples.size // MOST_POINTS)
    outer = _fences(samples)
    for number in range(0, samples.size, step):
        value = float(samples[number])
        odd = "odd" if value > outer[1] or value < outer[0] else ""
        _mark(svg, x.at(number + 1), y.at(value / unit), odd, up=value > top)
    for kind, value in (("median", timing.p50.value), ("upper", timing.p95.value)):
        draw_line(svg, LEFT, y.at(value / unit), width - RIGHT, y.at(value / unit), f"mark {kind}")
    draw_text(svg, width - RIGHT, y.at(timing.p95.value / unit) - 5, "p95", "markname", "end")
    draw_text(svg, width - RIGHT, y.at(timing.p50.value / unit) - 5, "median", "markname", "end")
    draw_text(svg, LEFT, height - BOTTOM + 17, "1", "tick")
    draw_text(svg, width - RIGHT, height - BOTTOM + 17, f"run {samples.size:,}", "tick", "end")
    if beyond:
        draw_text(svg, LEFT + 4, TOP - 2, f"{beyond} beyond, to {words.seconds(timing.max)}", "tick")
    return svg


def distribution(timing: Timing, width: int = 500, height: int = 240) -> Element:
    """How often which time was seen, and above it the percentiles with their intervals."""
    samples = np.array(timing.samples)
    top = _reach(samples)
    unit, name = words.span(float(np.median(samples)))
    marked = [("p50", timing.p50), ("p95", timing.p95), ("p99", timing.p99)]
    said = "; ".join(f"{percentile} {words.timed(estimate)}" for percentile, estimate in marked)
    svg = sheet(width, height, "Distribution of the times", f"{samples.size} runs. {said}.")
    shown = ticks(float(samples.min()) / unit, top / unit)
    x = Scale(shown[0], shown[-1], LEFT, width - RIGHT)
    base = float(height - BOTTOM)
    rows = [TOP + 6 + 19.0 * n for n in range(3)]
    counts, edges = _counted(np.minimum(samples, top))
    y = Scale(0.0, float(counts.max()), base, rows[-1] + 18)
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        at, end = x.at(float(left) / unit), x.at(float(right) / unit)
        place = {"x": f"{at:.1f}", "y": f"{y.at(float(count)):.1f}", "width": f"{max(end - at - 1, 0.5):.1f}"}
        SubElement(svg, "rect", {**place, "height": f"{base - y.at(float(count)):.1f}", "class": "bin"})
    draw_line(svg, LEFT, base, width - RIGHT, base, "axis")
    for tick in shown:
        draw_text(svg, x.at(tick), base + 17, f"{round(tick, 6):g}", "tick", "middle")
    draw_text(svg, width - RIGHT, base + 34, f"time, {name}", "tick", "end")
    for row, (percentile, estimate) in zip(rows, marked, strict=True):
        _percentile(svg, x, row, percentile, estimate, unit, base)
    if (beyond := int((samples > top).sum())) > 0:
        draw_text(svg, LEFT, base + 34, f"last bar: {beyond} beyond, to {words.seconds(timing.max)}", "tick")
    return svg


def memory_timeline(memory: MemoryUse, width: int = 1020, height: int = 220) -> Element | None:
    """Live bytes from the start of a call to its end; None where they were not followed."""
    points = memory.timeline
    if len(points) < 2:
        return None
    step = -(-len(points) // MOST_POINTS)
    peak = max(points, key=lambda point: point.bytes)
    kept = sorted({*points[::step], peak, points[-1]}, key=lambda point: point.seconds)
    where = f" in {label(peak.path)}" if peak.path else ""
    svg = sheet(
        width,
        height,
        "Live memory during a call",
        f"It starts at {words.size(points[0].bytes)} and is highest, {words.size(peak.bytes)},{where} after "
        f"{words.seconds(peak.seconds)} of {words.seconds(points[-1].seconds)}.",
    )
    power, name = _bytes_unit(peak.bytes)
    marks = ticks(0.0, peak.bytes / power)
    x = Scale(0.0, points[-1].seconds or 1.0, LEFT, width - RIGHT)
    y = Scale(0.0, marks[-1], height - BOTTOM, TOP + 8)
    _grid(svg, marks, y, width, name)
    base, high = y.at(0.0), y.at(kept[0].bytes / power)
    path = [f"M{x.at(0.0):.1f},{base:.1f}", f"V{high:.1f}"]
    for point in kept:
        path += [f"H{x.at(point.seconds):.1f}", f"V{y.at(point.bytes / power):.1f}"]
    path += [f"H{x.end:.1f}", f"V{base:.1f}Z"]
    SubElement(svg, "path", {"d": "".join(path), "class": "area"})
    level = y.at(memory.baseline / power)
    draw_line(svg, LEFT, level, width - RIGHT, level, "mark upper")
    draw_text(svg, width - RIGHT, level + 14, "before the call", "markname", "end")
    at, top = x.at(peak.seconds), y.at(peak.bytes / power)
    SubElement(svg, "circle", {"cx": f"{at:.1f}", "cy": f"{top:.1f}", "r": "4", "class": "peak"})
    side = "end" if at > width / 2 else "start"
    draw_text(svg, at, top - 8, f"peak {words.size(peak.bytes)}{_short(where)}", "markname", side)
    draw_text(svg, LEFT, height - BOTTOM + 17, "0", "tick")
    draw_text(svg, width - RIGHT, height - BOTTOM + 17, words.seconds(points[-1].seconds), "tick", "end")
    return svg


# ---------------------------------------------------------------- parts


def _grid(svg: Element, marks: Sequence[float], y: Scale, width: int, unit: str) -> None:
    for mark in marks:
        draw_line(svg, LEFT, y.at(mark), width - RIGHT, y.at(mark), "grid")
        said = f"{round(mark, 6):g}" + (f" {unit}" if mark == marks[-1] else "")
        draw_text(svg, LEFT - 8, y.at(mark) + 4, said, "tick", "end")


def _mark(svg: Element, x: float, y: float, kind: str, up: bool) -> None:
    """A dot, or at the edge a triangle that points to where the sample lies."""
    if up:
        corners = f"{x:.1f},{y - 4:.1f} {x - 4:.1f},{y + 3:.1f} {x + 4:.1f},{y + 3:.1f}"
        SubElement(svg, "polygon", {"points": corners, "class": "sample odd"})
    else:
        dot = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "2.5", "class": f"sample {kind}".strip()}
        SubElement(svg, "circle", dot)


def _percentile(
    svg: Element, x: Scale, y: float, name: str, estimate: Estimate, unit: float, base: float
) -> None:
    """A percentile's interval as a bar with its value on it; an open end is dashed to the edge."""
    value = x.at(estimate.value / unit)
    draw_text(svg, x.start - 8, y + 4, name, "tick", "end")
    draw_line(svg, value, y, value, base, "drop")
    low = x.start if estimate.low is None else x.at(estimate.low / unit)
    high = x.end if estimate.high is None else x.at(estimate.high / unit)
    draw_line(svg, low, y, value, y, "range open" if estimate.low is None else "range")
    draw_line(svg, value, y, high, y, "range open" if estimate.high is None else "range")
    SubElement(svg, "circle", {"cx": f"{value:.1f}", "cy": f"{y:.1f}", "r": "4", "class": "peak"})
    said = words.timed(estimate)
    if max(high, value) + 8 + 6.3 * len(said) < x.end:
        draw_text(svg, max(high, value) + 8, y + 4, said, "markname")
    else:
        draw_text(svg, min(low, value) - 8, y + 4, said, "markname", "end")


def _reach(samples: np.ndarray) -> float:
    """The largest time that is drawn in its place: one far outside would press all others together."""
    lower, upper = np.quantile(samples, (0.25, 0.75))
    limit = float(upper + FAR * (upper - lower))
    inside = samples[samples <= limit]
    return float(inside.max()) if upper > lower and inside.size else float(samples.max())


def _fences(samples: np.ndarray) -> tuple[float, float]:
    lower, upper = np.quantile(samples, (0.25, 0.75))
    reach = 1.5 * (upper - lower)
    return float(lower - reach), float(upper + reach)


def _counted(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many samples lie in each bar, as many as Freedman and Diaconis ask for, 5 to 40; their edges."""
    low, high = float(samples.min()), float(samples.max())
    if high - low <= 1e-9 * high:
        return np.array([samples.size]), np.array([low * 0.999, high * 1.001])
    lower, upper = np.quantile(samples, (0.25, 0.75))
    wide = 2 * (upper - lower) / np.cbrt(samples.size)
    wanted = (high - low) / wide if wide > 0 else 5
    return np.histogram(samples, bins=int(min(40, max(5, np.ceil(wanted)))))


def _bytes_unit(largest: float) -> tuple[float, str]:
    for power, name in ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB")):
        if largest >= power:
            return power, name
    return 1.0, "B"


def _short(where: str, most: int = 34) -> str:
    return where if len(where) <= most else f"{where[: most - 2]}.."

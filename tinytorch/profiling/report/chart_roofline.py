"""The roofline as a picture: modules by intensity and FLOP/s under what the machine can do at most."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from tinytorch.profiling import words
from tinytorch.profiling.profile import ModuleRow, Profile, Roof
from tinytorch.profiling.report.chart import Scale, draw_line, draw_text, sheet
from tinytorch.profiling.report.outline import Group, groups, label

LEFT, RIGHT, TOP, BOTTOM = 50, 12, 26, 44
LETTER = 7.0  # width of a letter on average
MOST_POINTS = 400
NAMED = 10
SAME_PLACE = 7  # distance below which two discs share a name
CROWDED = 1.6  # ratio of two bandwidths below which their names would touch
FAR = (-70, -40, 40, 70)  # sideways, for names that find no room beside their disc


@dataclass(frozen=True)
class Box:
    """A rectangle on the paper."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across * down if across > 0 and down > 0 else 0.0


@dataclass(frozen=True)
class Plane:
    """Where intensity (FLOP/B) and rate (FLOP/s) lie on the paper, each by its logarithm."""

    x: Scale
    y: Scale

    def across(self, intensity: float) -> float:
        """The place of an intensity."""
        return self.x.at(math.log10(intensity))

    def down(self, rate: float) -> float:
        """The place of a rate."""
        return self.y.at(math.log10(rate))


def placed(profile: Profile) -> list[ModuleRow]:
    """The modules that have a place: those whose FLOPs, bytes and time are above 0; costliest first."""
    rows = [row for row in profile.modules if row.flops and row.bytes and row.self_seconds.value > 0]
    return sorted(rows, key=lambda row: -row.self_seconds.value)[:MOST_POINTS]


def roofline(profile: Profile, width: int = 760, height: int = 420) -> Element | None:
    """The chart; None where no roof was measured or no module has a place."""
    rows, roof = placed(profile), profile.roof
    if roof is None or not rows:
        return None
    described = (
        f"Both axes are logarithmic. The roof is {words.rate(roof.flops)}; "
        f"{len(rows)} modules are drawn as discs whose area is their share of the time."
    )
    svg = sheet(width, height, f"Roofline of {profile.name}", described)
    plane = _plane(rows, roof, width, height)
    _axes(svg, plane)
    taken = _roofs(svg, plane, roof, narrow=width < 500)
    largest = max(row.self_seconds.value for row in rows)
    discs = []
    for row in rows:
        x, y = plane.across(row.intensity or 1.0), plane.down((row.flops or 1) / row.self_seconds.value)
        radius = 3 + 11 * math.sqrt(row.self_seconds.value / largest)
        disc = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{radius:.1f}", "class": f"point {row.bound or ''}"}
        mark = SubElement(svg, "circle", disc)
        SubElement(mark, "title").text = told(row)
        discs.append(Box(x - radius, y - radius, x + radius, y + radius))
    has_place = {row.path for row in rows}
    chosen = [group for group in groups(profile) if any(row.path in has_place for row in group.rows)]
    most = NAMED if width >= 500 else NAMED // 2 - 1
    _names(svg, plane, chosen[:most], dict(zip((row.path for row in rows), discs, strict=True)), taken)
    return svg


def told(row: ModuleRow) -> str:
    """A module's place in words."""
    rate = words.rate((row.flops or 0) / row.self_seconds.value)
    best = "" if row.roof is None else f", {words.percent(row.roof)} of the roof"
    return (
        f"{label(row.path)} ({row.kind}): {words.figure(row.intensity)} FLOP/B, {rate}{best}, "
        f"{words.seconds(row.self_seconds.value)}"
    )


def _plane(rows: list[ModuleRow], roof: Roof, width: int, height: int) -> Plane:
    """Whole decades around all points, and the ridge of main memory."""
    slowest = min(roof.bandwidths.values())
    intensities = [row.intensity or 1.0 for row in rows] + [roof.flops / slowest]
    rates = [(row.flops or 1) / row.self_seconds.value for row in rows]
    low, high = math.log10(min(intensities)), math.log10(max(intensities))
    bottom = math.floor(math.log10(min(rates)) - 0.1)
    top = math.log10(max(roof.flops, *rates)) + 0.25
    return Plane(
        Scale(math.floor(low - 0.05), math.ceil(high + 0.05), LEFT, width - RIGHT),
        Scale(bottom, top, height - BOTTOM, TOP),
    )


def _axes(svg: Element, plane: Plane) -> None:
    x, y = plane.x, plane.y
    step = max(1, math.ceil((x.high - x.low) / 7))
    for power in range(round(x.low), round(x.high) + 1):
        place = x.at(power)
        draw_line(svg, place, y.start, place, y.end, "grid")
        if (power - round(x.low)) % step == 0:
            draw_text(svg, place, y.start + 17, _decade(power), "tick", "middle")
    for power in range(math.ceil(y.low), math.floor(y.high) + 1):
        place = y.at(power)
        draw_line(svg, x.start, place, x.end, place, "grid")
        draw_text(svg, x.start - 8, place + 4, _power(power), "tick", "end")
    draw_text(svg, x.end, y.start + 36, "FLOPs per byte moved", "tick", "end")
    draw_text(svg, 2, TOP - 12, "FLOP/s", "tick")


def _power(power: int) -> str:
    number, _, prefix = words.rate(10.0**power).removesuffix("FLOP/s").partition(" ")
    return f"{float(number):g} {prefix}"


def _decade(power: int) -> str:
    return f"{10.0**power:g}" if -4 <= power <= 4 else f"1e{power}"


def _roofs(svg: Element, plane: Plane, roof: Roof, narrow: bool) -> list[Box]:
    """The slanted line of each level up to the ridge, and the flat roof; where their names stand."""
    x, y = plane.x, plane.y
    slope = (y.end - y.start) / (y.high - y.low) / ((x.end - x.start) / (x.high - x.low))
    angle = math.degrees(math.atan(slope))
    taken = []
    ridges = []
    above: float | None = None
    for name, bandwidth in roof.bandwidths.items():
        ridge = math.log10(roof.flops / bandwidth)
        start = max(x.low, y.low - math.log10(bandwidth))
        ridges.append(ridge)
        if start >= min(ridge, x.high):
            continue
        end = min(ridge, x.high)
        heights = [math.log10(bandwidth) + place for place in (start, end)]
        draw_line(svg, x.at(start), y.at(heights[0]), x.at(end), y.at(heights[1]), "roof")
        said = name if narrow else f"{name} {words.bandwidth(bandwidth)}"
        crowded = above is not None and bandwidth > above / CROWDED
        above = bandwidth
        right, lift = x.at(start) + 8, -12.0 if crowded else 5.0  # below its line where another is near
        place = (right, y.at(heights[0] + 8 / (x.end - x.start) * (x.high - x.low)) - lift)
        turned = {"transform": f"rotate({angle:.1f} {place[0]:.1f} {place[1]:.1f})"}
        draw_text(svg, *place, said, "tick roofname").attrib.update(turned)
        length = len(said) * LETTER * math.cos(math.radians(angle))
        rise = len(said) * LETTER * math.sin(math.radians(-angle))
        for part in range(4):  # the slanted name as small boxes along it
            at = (place[0] + length * part / 4, place[1] - rise * part / 4)
            taken.append(Box(at[0], at[1] - rise / 4 - 9, at[0] + length / 4, at[1] + 3))
    first = max(x.low, min(ridges))
    height = plane.down(roof.flops)
    if first < x.high:
        draw_line(svg, x.at(first), height, x.end, height, "roof flat")
    said = words.rate(roof.flops)
    draw_text(svg, x.end - 4, height - 6, said, "tick roofname", "end")
    taken.append(Box(x.end - len(said) * LETTER, height - 18, x.end, height))
    taken.append(Box(x.at(first), height - 4, x.end, height + 4))
    return taken


Place = tuple[float, float, str]  # where a name stands: x, y, and which end of it is there


def _names(svg: Element, plane: Plane, chosen: list[Group], discs: dict[str, Box], taken: list[Box]) -> None:
    """The name of each group near its largest disc."""
    covered = [*taken, *discs.values()]
    for disc, said in _together(chosen, discs):
        place_name(svg, plane, disc, said, covered)


def place_name(svg: Element, plane: Plane, disc: Box, said: str, taken: list[Box]) -> None:
    """Write a name near its disc, where it covers least of what is taken; far from it with a line to it.

    Where it would hide more than it says it is left out. What it covers is taken then, too.
    """
    long = len(said) * LETTER
    boxes = {place: _box(place, long) for place in _places(disc)}
    reach = _around(boxes.values())
    near = [box for box in taken if box.overlap(reach) > 0]
    costs = {place: _cost(box, disc, plane, near) for place, box in boxes.items()}
    best = min(costs, key=lambda place: costs[place])
    if costs[best] > 0.6 * long * 13:
        return
    x, y = (disc.left + disc.right) / 2, (disc.top + disc.bottom) / 2
    if abs(best[1] - y) > 30:
        draw_line(svg, x, y, best[0], best[1] - (8 if best[1] > y else -4), "leader")
    draw_text(svg, *best[:2], said, "pointname", best[2])
    taken.append(_box(best, long))


def _together(chosen: list[Group], discs: dict[str, Box]) -> list[tuple[Box, str]]:
    """The largest disc of each group and its name; groups at the same place share one, with their number."""
    found: list[tuple[Box, str, int]] = []
    for group in chosen:
        row = max((r for r in group.rows if r.path in discs), key=lambda r: r.self_seconds.value)
        disc = discs[row.path]
        for number, (other, name, more) in enumerate(found):
            apart = math.hypot(disc.right - other.right, disc.bottom - other.bottom)
            if apart < SAME_PLACE:
                found[number] = (other, name, more + 1)
                break
        else:
            found.append((disc, _fitting(label(group.name)), 0))
    return [(disc, f"{name} +{more}" if more else name) for disc, name, more in found]


def _places(disc: Box) -> list[Place]:
    """Where the name of a disc may stand: around it, and farther off."""
    x, y = (disc.left + disc.right) / 2, (disc.top + disc.bottom) / 2
    return [
        (disc.right + 4, y + 4, "start"),
        (disc.left - 4, y + 4, "end"),
        (x, disc.top - 5, "middle"),
        (x, disc.bottom + 13, "middle"),
        (disc.right + 2, disc.top - 2, "start"),
        (disc.right + 2, disc.bottom + 10, "start"),
        (disc.left - 2, disc.top - 2, "end"),
        (disc.left - 2, disc.bottom + 10, "end"),
        *((x + dx, y + dy, "start" if dx > 0 else "end") for dx in FAR for dy in (-44, -26, 34, 52, 70)),
    ]


def _box(place: Place, long: float) -> Box:
    left = place[0] - {"start": 0.0, "middle": long / 2, "end": long}[place[2]]
    return Box(left, place[1] - 10, left + long, place[1] + 3)


def _around(boxes: Iterable[Box]) -> Box:
    """The smallest box that holds all."""
    left, top, right, bottom = zip(*((b.left, b.top, b.right, b.bottom) for b in boxes), strict=True)
    return Box(min(left), min(top), max(right), max(bottom))


def _cost(here: Box, disc: Box, plane: Plane, covered: list[Box]) -> float:
    """What a name hides, how far it reaches off the paper, and how far it is from its disc."""
    outside = max(0.0, plane.x.start - here.left) + max(0.0, here.right - plane.x.end)
    outside += max(0.0, here.bottom - plane.y.start) + max(0.0, plane.y.end - here.top)
    across = max(here.left - disc.right, disc.left - here.right, 0.0)
    down = max(here.top - disc.bottom, disc.top - here.bottom, 0.0)
    return sum(here.overlap(other) for other in covered) + 100 * outside + 2 * math.hypot(across, down)


def _fitting(name: str, most: int = 26) -> str:
    return name if len(name) <= most else f"{name[: most // 2 - 1]}..{name[-(most // 2 - 1) :]}"

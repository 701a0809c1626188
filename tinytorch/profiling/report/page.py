"""The report as one page that needs nothing else, and as the fragment that a notebook shows."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

from tinytorch.profiling import words
from tinytorch.profiling.profile import MemoryUse, Profile, Timing
from tinytorch.profiling.report import html
from tinytorch.profiling.report.chart_roofline import roofline
from tinytorch.profiling.report.chart_series import distribution, memory_timeline, run_order
from tinytorch.profiling.report.icicle import icicle
from tinytorch.profiling.report.layout import one_line
from tinytorch.profiling.report.outline import PASSES, Line, groups, outline, verdict
from tinytorch.profiling.report.text import (
    MOST_GROUPS,
    Column,
    names_of,
    remarks,
    spread,
    tree_columns,
    unbounded,
)
from tinytorch.profiling.statistics import Estimate

if TYPE_CHECKING:
    import jinja2

PAGE_LINES, MOST_LINES = 48, 2000
MOST_SITES = 20
WIDE, NARROW = 980, 360  # widths at which a chart is drawn for large screens and for phones


@dataclass(frozen=True)
class TreeRow:
    """A line of the tree as the page shows it: depth, name, kind, share of the pass, bound, other cells."""

    depth: int
    name: str
    kind: str
    share: float
    bound: str
    cells: tuple[str, ...]
    is_parent: bool


@dataclass(frozen=True)
class Figure:
    """A chart drawn twice, for wide screens and for phones."""

    wide: Element
    narrow: Element


@dataclass(frozen=True)
class Card:
    """A key figure: what it is, its value, and its interval or what it is out of."""

    name: str
    value: str
    more: str


def page(profile: Profile) -> str:
    """The whole report as one HTML page: no scripts, nothing from elsewhere, light and dark."""
    return _environment().get_template("page.html.jinja").render(**_content(profile))


def fragment(profile: Profile) -> str:
    """The same report as a part of a notebook's page, with a style that leaves the rest of it alone."""
    return _environment().get_template("fragment.html.jinja").render(**_content(profile))


@functools.cache
def _environment() -> jinja2.Environment:
    return html.environment("tinytorch.profiling.report", interval=interval)


def _content(profile: Profile) -> dict[str, Any]:
    """All that the templates show."""
    cells, narrow = icicle(profile)
    kinds = groups(profile)
    return {
        "profile": profile,
        "what": PASSES.get(profile.mode, profile.mode),
        "verdict": _sentence(verdict(profile).removeprefix(f"{profile.name}: ")),
        "cards": _cards(profile),
        "bounds": sorted({row.bound for row in profile.modules if row.bound}),
        "icicle": cells,
        "icicle_rows": 1 + max((cell.depth for cell in cells), default=0),
        "too_narrow": narrow,
        **_tree(profile),
        "groups": kinds[:MOST_GROUPS] if len(kinds) > 1 else [],
        "rooflines": _both(roofline(profile, WIDE, 460), roofline(profile, NARROW, 340)),
        **_timing(profile.timing),
        **_memory(profile.memory),
        "remarks": remarks(profile),
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _both(wide: Element | None, narrow: Element | None) -> Figure | None:
    return Figure(wide, narrow) if wide is not None and narrow is not None else None


def _cards(profile: Profile) -> list[Card]:
    """The figures that people look for first."""
    cards = []
    timing, memory = profile.timing, profile.memory
    if timing is not None:
        cards.append(Card("time, median", words.seconds(timing.p50.value), interval(timing.p50)))
        if len(timing.samples) > 1:
            cards.append(Card("p99", words.seconds(timing.p99.value), interval(timing.p99)))
    if profile.modules or profile.ops:
        known = profile.flops is not None
        more = "" if known else f"{words.percent(profile.coverage)} of the ops counted"
        if profile.flops and timing is not None:
            more = words.rate(profile.flops / timing.p50.value)
        name = "work" if known else "matrix products"
        cards.append(Card(name, words.work(profile.flops if known else profile.matmul_flops), more))
        intensity = profile.flops / profile.bytes if profile.flops is not None and profile.bytes else None
        moved = "" if intensity is None else f"{words.figure(intensity)} FLOP/B"
        cards.append(Card("bytes moved", words.size(profile.bytes), moved))
    if memory is not None:
        over = words.size(memory.peak - memory.baseline)
        cards.append(Card("peak memory", words.size(memory.peak), f"{over} over the baseline"))
    if profile.overhead is not None:
        factor = words.times(profile.overhead).partition(" [")[0]
        cards.append(Card("watching costs", factor, interval(profile.overhead, ratio=True)))
    return cards


def interval(estimate: Estimate, ratio: bool = False) -> str:
    """The interval of a time, or of a ratio, in words; "" where there is none."""
    said = words.times(estimate) if ratio else words.timed(estimate)
    low, _, high = said.partition(" [")[2].rstrip("]").partition(", ")
    if high == words.NOTHING:
        return f"{low} or more"
    return f"{high} or less" if low == words.NOTHING else " to ".join(filter(None, (low, high)))


# ---------------------------------------------------------------- the tree


def _tree(profile: Profile) -> dict[str, Any]:
    """The tree, folded to what a page has room for, and whole where that folds much away."""
    if not profile.modules:
        return {"columns": [], "tree": [], "whole_tree": [], "widest": 1.0, "meaning": "", "fold": 0.0}
    columns, meaning = tree_columns(profile)
    lines, fold = outline(profile, PAGE_LINES)
    hidden = sum(line.folded for line in lines)
    whole, _ = outline(profile, MOST_LINES, 0.0)
    return {
        "columns": [column.heading for column in columns],
        "tree": _rows(lines, columns),
        "widest": max((row.share.value for row in profile.modules), default=0.0) or 1.0,
        "whole_tree": _rows(whole[:MOST_LINES], columns) if hidden else [],
        "meaning": meaning,
        "fold": fold if any(line.row is None for line in lines) else 0.0,
    }


def _rows(lines: Sequence[Line], columns: Sequence[Column]) -> list[TreeRow]:
    deeper = [after.depth > before.depth for before, after in pairwise(lines)] + [False]
    return [
        TreeRow(
            line.depth,
            *_name_and_kind(line),
            line.share if line.row is None else line.row.share.value,
            "" if line.row is None else line.row.bound or "",
            tuple(column.cell(line) for column in columns),
            parent,
        )
        for line, parent in zip(lines, deeper, strict=True)
    ]


def _name_and_kind(line: Line) -> tuple[str, str]:
    name = names_of(line)[-1].strip()
    return name, "" if line.row is None or not line.name else one_line(line.row.kind)


# ---------------------------------------------------------------- time and memory


def _timing(timing: Timing | None) -> dict[str, Any]:
    """Pictures and a table of the runs; nothing of a single one."""
    if timing is None or len(timing.samples) < 2:
        return {"run_order": None, "distribution": None}
    percentiles = [("mean", timing.mean), ("p50", timing.p50), ("p95", timing.p95), ("p99", timing.p99)]
    return {
        "run_order": Figure(run_order(timing, 500, 250), run_order(timing, NARROW, 240)),
        "distribution": Figure(distribution(timing, 500, 250), distribution(timing, NARROW, 240)),
        "percentiles": percentiles,
        "spread": spread(timing),
        "unbounded": unbounded(timing),
    }


def _memory(memory: MemoryUse | None) -> dict[str, Any]:
    """A picture of a call, what memory consists of, by module, and the lines that allocate."""
    if memory is None:
        return {"memory_figure": None, "memory_parts": [], "memory_modules": [], "sites": []}
    parts = [
        ("parameters", memory.parameters),
        ("gradients", memory.gradients),
        ("optimizer state", memory.optimizer),
        ("kept for backward", memory.activations),
        ("temporaries", memory.temporaries),
    ]
    modules = sorted(memory.modules, key=lambda module: -module.peak)[:MOST_SITES]
    return {
        "memory_figure": _both(memory_timeline(memory, 1020, 230), memory_timeline(memory, NARROW, 230)),
        "memory_parts": [(name, amount) for name, amount in parts if amount],
        "memory_modules": modules,
        "sites": memory.sites[:MOST_SITES],
    }

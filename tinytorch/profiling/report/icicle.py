"""The tree of modules as an icicle: each as wide as its share of the pass, what is inside it below it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinytorch.profiling import words
from tinytorch.profiling.profile import ModuleRow, Profile
from tinytorch.profiling.report.outline import label
from tinytorch.profiling.tree import ancestors

MOST_CELLS = 800
NARROWEST = 0.0015  # share of the pass below which a module is left out
NAMED = 0.035  # share from which a name is written


@dataclass(frozen=True)
class Cell:
    """A module on the picture: where it begins and how wide it is, as shares, its row and its colour."""

    name: str
    told: str
    left: float
    width: float
    depth: int
    tone: str
    named: bool


def icicle(profile: Profile) -> tuple[list[Cell], int]:
    """The cells in the tree's order, and how many modules are too narrow to draw.

    A parent is as wide as its self time and all below it; what it spends itself lies below it as "self",
    before the rest. Only cells in which time is spent have the colour of what bounds it.
    """
    rows = {row.path: row for row in profile.modules}
    totals = dict.fromkeys(rows, 0.0)
    below: dict[str, list[str]] = {}
    roots: list[str] = []
    for path, row in rows.items():
        above = [parent for parent in ancestors(path) if parent in rows]
        for parent in above:
            totals[parent] += row.self_seconds.value
        (below.setdefault(above[-2], []) if len(above) > 1 else roots).append(path)
    whole = sum(totals[path] for path in roots)
    cells: list[Cell] = []
    if whole <= 0:
        return cells, 0
    left_out = 0
    starts = {path: sum(totals[p] for p in roots[:n]) / whole for n, path in enumerate(roots)}
    stack = [(path, starts[path], 0) for path in reversed(roots)]
    while stack:
        path, left, depth = stack.pop()
        width = totals[path] / whole
        if width < NARROWEST or len(cells) >= MOST_CELLS:
            left_out += 1 + sum(other.startswith(f"{path}.") for other in rows)
            continue
        row, own = rows[path], rows[path].self_seconds.value / whole
        holds = path in below
        cells.append(_cell(row, left, width, depth, "" if holds else row.bound or "unknown"))
        if holds and own >= NARROWEST:
            cells.append(replace(_cell(row, left, own, depth + 1, row.bound or "unknown"), name="self"))
        left += own
        inner: list[tuple[str, float, int]] = []
        for child in below.get(path, []):
            inner.append((child, left, depth + 1))
            left += totals[child] / whole
        stack += reversed(inner)
    return cells, left_out


def _cell(row: ModuleRow, left: float, width: float, depth: int, tone: str) -> Cell:
    name = row.path.rpartition(".")[2] or row.kind or label("")
    own = words.seconds(row.self_seconds.value)
    bound = f", {row.bound}-bound" if row.bound else ""
    told = (
        f"{label(row.path)} ({row.kind or 'no kind'}): {words.percent(width)} of the pass, self {own}{bound}"
    )
    return Cell(name, told, left, width, depth, tone, width >= NAMED)

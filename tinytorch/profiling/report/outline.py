"""The outline of a profile: its verdict in a few sentences, modules of a kind as one, its tree folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.profiling import words
from tinytorch.profiling.profile import ModuleRow, Profile
from tinytorch.profiling.statistics import Estimate, median
from tinytorch.profiling.tree import ancestors

FOLD = 0.005  # share of a pass below which a module is folded away
MOST_LINES = 60
MOST = 0.5  # share of the time from which one bound is named alone
PASSES = {
    "forward": "a forward pass",
    "backward": "a forward and backward pass",
    "step": "a training step",
    "callable": "a call",
}


@dataclass(frozen=True)
class Line:
    """One line of the tree: a module at a depth, or (without a row) several beside each other as one.

    `total` and `share` are those of a module with all below it; `folded`: how many modules the line hides.
    """

    depth: int
    name: str
    row: ModuleRow | None
    total: float
    share: float
    folded: int = 0


@dataclass(frozen=True)
class Group:
    """Modules that differ in the number of their block only, their self time and its share of the pass."""

    name: str
    rows: tuple[ModuleRow, ...]
    seconds: float
    share: Estimate


def verdict(profile: Profile) -> str:
    """How long a pass takes, what bounds it, and what takes the most of it.

    >>> from tinytorch.profiling.profile import Profile
    >>> verdict(Profile("f", "callable", "callable", "", {}, {}, None, None, 0, 0, 0, 1.0, (), (), ()))
    'f: the time was not measured.'
    """
    what = PASSES.get(profile.mode, profile.mode or "a call")
    if profile.timing is None:
        sentences = [f"{profile.name}: the time was not measured."]
    elif len(profile.timing.samples) == 1:
        took = words.seconds(profile.timing.p50.value)
        sentences = [f"{profile.name}: {what} took {took}, measured once."]
    else:
        sentences = [f"{profile.name}: {what} takes {words.timed(profile.timing.p50)} (median)."]
    return " ".join([*sentences, *_bounds(profile), *_biggest(profile)])


def _bounds(profile: Profile) -> list[str]:
    """What bounds the pass: the kind of bound behind most of its self time."""
    shares = bound_shares(profile)
    known = sorted(((share, bound) for bound, share in shares.items() if bound), reverse=True)
    if not known:
        return []
    if known[0][0] >= MOST:
        return [f"It is {known[0][1]}-bound for {words.percent(known[0][0])} of its time."]
    parts = ", ".join(f"{bound} {words.percent(share)}" for share, bound in known)
    return [f"No one thing bounds it: {parts} of its time."]


def bound_shares(profile: Profile) -> dict[str, float]:
    """The share of self time by what bounds the modules; "" for those of which that is not known."""
    whole = sum(row.self_seconds.value for row in profile.modules)
    found: dict[str, float] = {}
    for row in profile.modules:
        if whole > 0 and row.self_seconds.value > 0:
            bound = row.bound or ""
            found[bound] = found.get(bound, 0.0) + row.self_seconds.value / whole
    return found


def _biggest(profile: Profile) -> list[str]:
    """What takes the most: modules of a kind, or the function of a plain callable."""
    found = groups(profile)
    if found and len(profile.modules) > 1:
        first = found[0]
        many = f" ({len(first.rows)} modules)" if len(first.rows) > 1 else ""
        return [f"The most goes to {label(first.name)}{many}: {words.shared(first.share)} of it."]
    if profile.hotspots:
        spot = max(profile.hotspots, key=lambda spot: spot.self_seconds)
        return [f"The most goes to {spot.function} ({spot.file}:{spot.line}): {words.percent(spot.share)}."]
    if profile.ops:
        first_op = profile.ops[0]
        return [f"The most goes to the op {first_op.name}: {words.shared(first_op.share)} of it."]
    return []


def label(path: str) -> str:
    """A path as people see it: the root has no name.

    >>> label(""), label("head")
    ('(root)', 'head')
    """
    return path or "(root)"


def families(paths: Iterable[str]) -> dict[str, str]:
    """The name that each path shares with those that differ in the number of their block only.

    >>> families(["blocks.0.mlp", "blocks.1.mlp", "layers.0"])
    {'blocks.0.mlp': 'blocks.*.mlp', 'blocks.1.mlp': 'blocks.*.mlp', 'layers.0': 'layers.0'}
    """
    paths = list(paths)
    blocks = {found[1] for path in paths if (found := re.match(r"(.+?)\.\d+\.", path))}
    names = {}
    for path in paths:
        found = re.match(r"(.+?)\.\d+(?=\.|$)", path)
        inside = found is not None and found[1] in blocks
        names[path] = f"{found[1]}.*{path[found.end() :]}" if found is not None and inside else path
    return names


def groups(profile: Profile) -> list[Group]:
    """Modules in which time goes by, those of a kind as one, the costliest first.

    The share has an interval where the passes are there to judge it by.
    """
    names = families(row.path for row in profile.modules)
    members: dict[str, list[ModuleRow]] = {}
    for row in profile.modules:
        if row.self_seconds.value > 0:
            members.setdefault(names[row.path], []).append(row)
    whole = sum(row.self_seconds.value for row in profile.modules)
    passes = {path: np.array(times) for path, times in profile.passes.items() if times}
    lengths = {times.size for times in passes.values()}
    total = np.sum(list(passes.values()), axis=0) if len(lengths) == 1 else None
    found = []
    for name, rows in members.items():
        seconds = sum(row.self_seconds.value for row in rows)
        share = Estimate(seconds / whole, None, None)
        if len(rows) == 1:
            share = rows[0].share
        elif total is not None and np.min(total) > 0 and all(row.path in passes for row in rows):
            share = median(np.sum([passes[row.path] for row in rows], axis=0) / total)
        found.append(Group(name, tuple(rows), seconds, share))
    return sorted(found, key=lambda group: -group.seconds)


# ---------------------------------------------------------------- the tree


def outline(profile: Profile, most: int = MOST_LINES, fold: float = FOLD) -> tuple[list[Line], float]:
    """The tree of modules, each below its parent, and the share of a pass below which it is folded.

    Modules that take less with all below them are folded into one line at their parent's end. Where more
    than `most` lines are left, what is inside a block is shown for the first of its kind only; then the share
    grows until the lines fit, up to 20 % of a pass.
    """
    tree = _Tree(profile.modules)
    lines = tree.lines(fold)
    while len(lines) > most and fold < 0.2:
        lines = tree.lines(fold, close=True)
        if len(lines) > most:
            fold *= 2
    return lines, fold


class _Tree:
    """Rows by path, the rows below each, and the time of each with those below it."""

    def __init__(self, rows: Sequence[ModuleRow]) -> None:
        self.rows = {row.path: row for row in rows}
        self.below: dict[str, list[str]] = {}
        self.totals = dict.fromkeys(self.rows, 0.0)
        for row in rows:
            above = [path for path in ancestors(row.path) if path in self.rows]
            for path in above:
                self.totals[path] += row.self_seconds.value
            if len(above) > 1:
                self.below.setdefault(above[-2], []).append(row.path)
        inner = {path for paths in self.below.values() for path in paths}
        self.roots = [path for path in self.rows if path not in inner]
        self.whole = sum(self.totals[path] for path in self.roots)

    def lines(self, fold: float, close: bool = False) -> list[Line]:
        """The lines, folded below a share; `close`: of blocks of a kind only the first is shown inside."""
        out: list[Line] = []
        closed = self._repeated() if close else set()
        stack: list[Line | tuple[str, int]] = [(path, 0) for path in reversed(self.roots)]
        while stack:
            item = stack.pop()
            if isinstance(item, Line):
                out.append(item)
                continue
            path, depth = item
            out.append(self._line(path, depth, path in closed))
            if path in closed:
                continue
            children = self.below.get(path, [])
            small = [child for child in children if self._share(child) < fold]
            kept = [child for child in children if self._share(child) >= fold]
            if len(small) == 1 and self._share(small[0]) > 0 and not self.below.get(small[0]):
                small, kept = [], children  # a line that says "1 more" takes as much room
            if small:
                stack.append(self._folded(small, depth + 1))
            stack += [(child, depth + 1) for child in reversed(kept)]
        return out

    def _share(self, path: str) -> float:
        return self.totals[path] / self.whole if self.whole > 0 else 1.0

    def _repeated(self) -> set[str]:
        """Numbered modules with others inside, less the first of each kind beside each other."""
        found = set()
        for paths in self.below.values():
            met: set[str] = set()
            for path in (p for p in paths if p in self.below and p.rpartition(".")[2].isdigit()):
                kind = self.rows[path].kind
                if kind in met:
                    found.add(path)
                met.add(kind)
        return found

    def _line(self, path: str, depth: int, closed: bool) -> Line:
        row = self.rows[path]
        parent = [above for above in ancestors(path)[:-1] if above in self.rows]
        name = path[len(parent[-1]) :].lstrip(".") if parent else path
        inside = self._number_below(path) if closed else 0
        return Line(depth, name, row, self.totals[path], self._share(path), inside)

    def _folded(self, paths: Sequence[str], depth: int) -> Line:
        total = sum(self.totals[path] for path in paths)
        number = sum(1 + self._number_below(path) for path in paths)
        share = sum(self._share(path) for path in paths)
        return Line(depth, f"{number} more", None, total, share, number)

    def _number_below(self, path: str) -> int:
        prefix = f"{path}."
        return sum(other.startswith(prefix) for other in self.rows)

"""Channels: entries of axes that can only be removed together, as a union-find over all entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from tinytorch.ops.spec import Array

Entries: TypeAlias = Array
"""Numbers of entries, one for each place along an axis, int64."""

MAKES, READS = 1, 2
"""What a weight does along an axis: each entry makes a channel, or reads one."""
HEADS, WIDTH = 1, 2
"""Channels that are heads of an attention, and those over which statistics are taken."""


@dataclass
class Channels:
    """Numbers entries, joins those that must go together, and notes what is known of each such set.

    A set is fixed once there is a reason why it cannot be removed; sets that are joined share theirs.

    >>> channels = Channels()
    >>> rows, columns = channels.fresh(3), channels.fresh(2)
    >>> channels.join(rows[:2], columns)
    >>> channels.sets(rows).tolist() == [*channels.sets(columns), rows[2]]
    True
    >>> channels.fix(columns[:1], "", "the model returns it")
    >>> channels.free(rows).tolist()
    [False, True, True]
    """

    _parent: Array = field(default_factory=lambda: np.empty(0, np.int64))
    _why: Array = field(default_factory=lambda: np.empty(0, np.int64))
    _marks: Array = field(default_factory=lambda: np.empty(0, np.int64))
    roles: Array = field(default_factory=lambda: np.empty(0, np.int64))
    """MAKES and READS of each entry by itself."""
    reasons: list[tuple[str, str]] = field(default_factory=lambda: [("", "")])
    """Pairs of a layer's path and a reason."""
    places: dict[int, str] = field(default_factory=dict)
    """By set, the path of the attention whose heads it has."""

    def fresh(self, count: int, path: str = "", why: str = "") -> Entries:
        """So many further entries, each by itself; fixed where there is a reason."""
        first = len(self._parent)
        found = np.arange(first, first + count)
        self._parent = np.concatenate([self._parent, found])
        none = np.zeros(count, np.int64)
        self._why, self._marks = np.concatenate([self._why, none]), np.concatenate([self._marks, none])
        self.roles = np.concatenate([self.roles, none])
        if why:
            self.fix(found, path, why)
        return found

    def sets(self, entries: Entries) -> Entries:
        """The set of each entry, by the number of its first one."""
        found = entries
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                break
            found = above
        self._parent[entries] = found
        return found

    def join(self, a: Entries, b: Entries) -> None:
        """Entries at the same places of both go together from now on."""
        pairs = np.stack([self.sets(a), self.sets(b)])
        while True:
            first, second = np.unique(np.sort(pairs[:, pairs[0] != pairs[1]], axis=0), axis=1)
            if not len(first):
                return
            _, once = np.unique(second, return_index=True)
            once = once[~np.isin(second[once], first)]  # sets that meet several others take several rounds
            self._append(first[once], second[once])
            pairs = np.stack([self.sets(first), self.sets(second)])

    def _append(self, first: Entries, second: Entries) -> None:
        """Have each of the second sets, all different and none among the first, be part of a first one."""
        self._parent[second] = first
        known = self._why[second] > 0
        known &= self._why[first] == 0
        self._why[first[known]] = self._why[second[known]]
        np.bitwise_or.at(self._marks, first, self._marks[second])
        for one in self.places.keys() & set(second.tolist()):
            self.places.setdefault(int(self.sets(np.array([one]))[0]), self.places.pop(one))

    def fix(self, entries: Entries, path: str, why: str) -> None:
        """Say why these cannot be removed; where a reason is known, it stays."""
        sets = self.sets(entries)
        if (self._why[sets] == 0).any():
            self.reasons.append((path, why))
            self._why[sets] = np.where(self._why[sets] == 0, len(self.reasons) - 1, self._why[sets])

    def free(self, entries: Entries) -> Array:
        """Of each entry, whether nothing keeps it from being removed, as far as is known."""
        return np.asarray(self._why[self.sets(entries)] == 0)

    def reason(self, entry: int) -> int:
        """Which of `reasons` fixes the entry's set; 0: none."""
        return int(self._why[self.sets(np.array([entry]))[0]])

    def mark(self, entries: Entries, kind: int, path: str = "") -> None:
        """Note that sets are heads (of the attention at `path`), or that statistics are taken over them."""
        for one in np.unique(self.sets(entries)).tolist():
            self._marks[one] |= kind
            if kind == HEADS:
                self.places.setdefault(one, path)

    def marks(self, entry: int) -> int:
        """What was noted of the entry's set."""
        return int(self._marks[self.sets(np.array([entry]))[0]])

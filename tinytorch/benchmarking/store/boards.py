"""Boards: rows sorted by a ratio, ranks that comparisons tell apart, and the records of their time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from tinytorch.benchmarking.ranking import is_record, ranks, told_apart
from tinytorch.benchmarking.ratio import Ratio
from tinytorch.benchmarking.result import Board
from tinytorch.benchmarking.store.chain import Summary
from tinytorch.profiling.statistics import Estimate

Pairs: TypeAlias = "dict[tuple[str, str], Mapping[Board, Ratio]]"
"""By the hashes of two programs, by board how many times better the first is."""


@dataclass(frozen=True)
class Row:
    """A result as boards and histories show it."""

    number: int
    team: str
    entry: str
    event: str
    division: str
    written: str
    fingerprint: str
    listed: bool
    summary: Summary


@dataclass(frozen=True)
class Place:
    """A row on a board: its rank, the ratio that it is sorted by, and whether it holds the record."""

    rank: int
    row: Row
    ratio: Estimate
    record: bool
    shared: bool


@dataclass(frozen=True)
class BoardView:
    """A board: of one event, division and machine. `records`: the numbers of all that ever were one."""

    event: str
    division: str
    by: Board
    fingerprint: str
    places: tuple[Place, ...]
    records: tuple[int, ...]


def view(
    event: str, division: str, by: Board, fingerprint: str, rows: Sequence[Row], pairs: Pairs
) -> BoardView:
    """The board of rows in the order in which they came; of a team's same program the last result counts."""
    listed = {(row.team, row.entry): row for row in rows if row.listed}
    order = sorted(listed.values(), key=lambda row: (-row.summary.ratios[by].log, row.number))
    names = [str(row.number) for row in order]
    found = ranks(names, told_apart(_asked(order, by, pairs)) | _exactly(order, by))
    shares = Counter(found)
    held = records_of(rows, by, pairs)
    places = tuple(
        Place(
            rank,
            row,
            row.summary.ratios[by].estimate(),
            bool(held) and _same(row, held[-1]),
            shares[rank] > 1,
        )
        for rank, row in zip(found, order, strict=True)
    )
    return BoardView(event, division, by, fingerprint, places, tuple(row.number for row in held))


def _same(row: Row, other: Row) -> bool:
    return (row.team, row.entry) == (other.team, other.entry)


def _asked(order: Sequence[Row], by: Board, pairs: Pairs) -> dict[tuple[str, str], Ratio]:
    """The comparisons between rows of a board; of teams with the same program the first stands for all."""
    numbers: dict[str, list[str]] = {}
    for row in order:
        numbers.setdefault(row.entry, []).append(str(row.number))
    return {
        (a, b): ratios[by]
        for (first, second), ratios in pairs.items()
        if by in ratios and first != second
        for a in numbers.get(first, ())[:1]
        for b in numbers.get(second, ())[:1]
    }


def _exactly(order: Sequence[Row], by: Board) -> set[tuple[str, str]]:
    """Neighbours whose figures are counted, not measured, and differ: nothing needs to run again for them."""
    found = set()
    for above, below in pairwise(order):
        a, b = above.summary.ratios[by], below.summary.ratios[by]
        if a.error == b.error == 0 and abs(a.log - b.log) > 1e-12:
            found.add((str(above.number), str(below.number)))
    return found


def records_of(rows: Sequence[Row], by: Board, pairs: Pairs) -> list[Row]:
    """The rows that set a record, in their order; rows: all results of a board, invalid ones included.

    The first listed row opens. A later one sets a record if its score is higher and the comparison with the
    holder says so at the level that is left to its team, whose attempts all count.
    """
    attempts: dict[str, int] = {}
    held: list[Row] = []
    for row in rows:
        attempts[row.team] = attempts.get(row.team, 0) + 1
        if not row.listed:
            continue
        if not held:
            held.append(row)
            continue
        against = _against(row, held[-1], by, pairs)
        if against is not None and is_record(against, attempts[row.team]):
            held.append(row)
    return held


def _against(row: Row, holder: Row, by: Board, pairs: Pairs) -> Ratio | None:
    """How many times better a row is than the holder, as far as that is known beyond their scores."""
    forward, backward = pairs.get((row.entry, holder.entry)), pairs.get((holder.entry, row.entry))
    if forward is not None and by in forward:
        return forward[by]
    if backward is not None and by in backward:
        return backward[by].inverse()
    own, other = row.summary.ratios[by], holder.summary.ratios[by]
    if own.error == other.error == 0:
        return Ratio(own.log - other.log, 0.0, own.freedom)
    return None

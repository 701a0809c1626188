"""Verifying a store: numbers, hashes, signatures, columns, programs and the head, each record by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from tinytorch.benchmarking.result import Result, digest
from tinytorch.benchmarking.store.chain import START, Link, columns_of, read_record, signed_head, signed_text
from tinytorch.benchmarking.store.keys import Verifier
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.store.schema import HEAD, PROGRAMS, RECORDS
from tinytorch.errors import BenchmarkError


@dataclass(frozen=True)
class Problem:
    """What is wrong, and with which record; 0 is the store as a whole."""

    number: int
    what: str

    def __str__(self) -> str:
        """In one line.

        >>> str(Problem(3, "its signature is not the organiser's"))
        "record 3: its signature is not the organiser's"
        """
        return f"record {self.number}: {self.what}" if self.number else f"store: {self.what}"


def verify(board: Leaderboard, public: Verifier | None = None) -> list[Problem]:
    """All that is wrong with a store, in the order of its records; nothing where it is whole.

    `public`: the organiser's public key, by default that of the key beside the store. A change of any value
    is found, and so is a record that is missing, the last one too.
    """
    check = _Check(public or board.key.public)
    with board.database.read() as connection:
        for row in connection.execute(select(RECORDS).order_by(RECORDS.c.number)):
            check.record(row)
        check.head(connection, board)
        check.programs(connection)
    return check.problems


class _Check:
    def __init__(self, public: Verifier) -> None:
        self.public = public
        self.problems: list[Problem] = []
        self.last, self.count = START, 0
        self.hashes: dict[int, str] = {}
        self.valid: dict[str, int] = {}

    def note(self, number: int, what: str) -> None:
        self.problems.append(Problem(number, what))

    def record(self, row: Any) -> None:
        """One record, the next one in order."""
        self.count += 1
        if row.number != self.count:
            self.note(row.number, f"it is the {self.count}th: records are missing, or numbered anew")
            self.count = row.number
        link = Link(row.number, row.kind, row.written, bytes(row.payload), row.previous)
        if row.previous != self.last:
            self.note(row.number, "it does not follow the record before it")
        if link.hash != row.hash:
            self.note(row.number, "its content is not what its hash was taken of")
        if not self.public.holds(signed_text(row.hash), bytes(row.signature)):
            self.note(row.number, "its signature is not the organiser's")
        self.last = self.hashes[row.number] = row.hash
        try:
            found = read_record(row.kind, link.payload)
        except BenchmarkError as error:
            self.note(row.number, str(error))
            return
        if isinstance(found, Result) and found.valid:
            self.valid.setdefault(found.entry, row.number)
        for name, value in columns_of(found).items():
            held = getattr(row, name)
            if (bytes(held) if isinstance(value, bytes) else held) != value:
                self.note(row.number, f"its column {name} is not what the record says")

    def head(self, connection: Connection, board: Leaderboard) -> None:
        """The head in the database, and the one that was noted outside of it."""
        rows = connection.execute(select(HEAD)).all()
        if not rows and not self.count:
            return
        if len(rows) != 1 or rows[0].id != 1:
            self.note(0, f"it has {len(rows)} heads in place of one")
            return
        (row,) = rows
        if not self.public.holds(signed_head(row.store, row.length, row.hash), bytes(row.signature)):
            self.note(0, "the signature of its head is not the organiser's")
        if (row.length, row.hash) != (self.count, self.last):
            self.note(
                0, f"its head counts {row.length} records, and {self.count} are there: the last were changed"
            )
        known = board.heads.known(row.store)
        if known is not None and (known[0] > self.count or self.hashes.get(known[0], START) != known[1]):
            self.note(0, f"it had {known[0]} records before: it was set back, or its records were made anew")

    def programs(self, connection: Connection) -> None:
        """Programs, by their hashes."""
        kept = set()
        for row in connection.execute(select(PROGRAMS.c.sha256, PROGRAMS.c.content)):
            kept.add(row.sha256)
            if digest(bytes(row.content)) != row.sha256:
                self.note(self.valid.get(row.sha256, 0), f"its program {row.sha256[:12]} has another hash")
            elif row.sha256 not in self.valid:
                self.note(0, f"the program {row.sha256[:12]} belongs to no valid record")
        for sha256, number in self.valid.items():
            if sha256 not in kept:
                self.note(number, f"its program {sha256[:12]} is missing")

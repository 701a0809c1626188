"""Leaderboard: results and comparisons in a signed chain, on SQLite or PostgreSQL, and questions to it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from tinytorch.benchmarking.result import Board, Comparison, Division, Record, Result, digest, encoded
from tinytorch.benchmarking.store.boards import BoardView, Pairs, Row, view
from tinytorch.benchmarking.store.chain import (
    COMPARISON,
    RESULT,
    START,
    Link,
    Summary,
    columns_of,
    read_record,
    signed_head,
    signed_text,
)
from tinytorch.benchmarking.store.database import Database
from tinytorch.benchmarking.store.heads import Heads
from tinytorch.benchmarking.store.keys import Key, home, load_key
from tinytorch.benchmarking.store.schema import HEAD, PROGRAMS, RECORDS
from tinytorch.errors import BenchmarkError

STORE = "store.db"


@dataclass(frozen=True)
class Stored:
    """A record with its number and hash."""

    number: int
    hash: str
    written: str
    record: Record


class Leaderboard:
    """The store at `url`, by default a SQLite file in the user's data folder; `folder` holds key and heads.

    Several processes may use it at once. Raises BenchmarkError where it cannot be opened.
    """

    def __init__(self, url: str | Path | None = None, folder: Path | None = None) -> None:
        self.folder = folder or home()
        self.database = Database(url if url is not None else self.folder / STORE)
        self.key: Key = load_key(self.folder)
        self.heads = Heads(self.folder / "heads")

    def close(self) -> None:
        """Let go of the database."""
        self.database.engine.dispose()

    # ------------------------------------------------------------ adding

    def add(self, result: Result, program: bytes = b"") -> int:
        """Append a result, with the canonical program that it is of; the number of its record.

        Both are kept, or neither; of an invalid result no program is. Raises BenchmarkError for a program
        with another hash than the result's.
        """
        with self.database.write() as connection:
            number = self.append(connection, result, program)
        self.note_head()
        return number

    def add_comparison(self, comparison: Comparison) -> int:
        """Append a paired re-run; the number of its record."""
        with self.database.write() as connection:
            number = self.append(connection, comparison)
        self.note_head()
        return number

    def append(self, connection: Connection, record: Record, program: bytes = b"") -> int:
        """Append within a transaction that is open, alone in writing: the number."""
        if isinstance(record, Result) and record.valid and digest(program) != record.entry:
            raise BenchmarkError(
                f"add: the program has the hash {digest(program)[:12]}, not {record.entry[:12]}"
            )
        store, count, last = self._head(connection)
        written = datetime.now(UTC).isoformat(timespec="milliseconds")
        columns = columns_of(record)
        link = Link(count + 1, columns["kind"], written, encoded(record), last)
        connection.execute(
            insert(RECORDS).values(
                number=link.number,
                written=written,
                payload=link.payload,
                previous=last,
                hash=link.hash,
                signature=self.key.sign(signed_text(link.hash)),
                **columns,
            )
        )
        if isinstance(record, Result) and record.valid:
            known = connection.execute(
                select(PROGRAMS.c.sha256).where(PROGRAMS.c.sha256 == record.entry)
            ).first()
            if known is None:
                connection.execute(insert(PROGRAMS).values(sha256=record.entry, content=program))
        signature = self.key.sign(signed_head(store, link.number, link.hash))
        connection.execute(
            update(HEAD).where(HEAD.c.id == 1).values(length=link.number, hash=link.hash, signature=signature)
        )
        return link.number

    def _head(self, connection: Connection) -> tuple[str, int, str]:
        """Which store it is, how many records there are and the hash of the last; made for an empty store."""
        row = connection.execute(
            select(HEAD.c.store, HEAD.c.length, HEAD.c.hash).where(HEAD.c.id == 1)
        ).first()
        if row is not None:
            return row.store, row.length, row.hash
        if connection.execute(select(func.count()).select_from(RECORDS)).scalar():
            raise BenchmarkError("store: its head is gone, with records left: `tito bench verify` says more")
        store = secrets.token_hex(16)
        connection.execute(
            insert(HEAD).values(
                id=1, store=store, length=0, hash=START, signature=self.key.sign(signed_head(store, 0, START))
            )
        )
        return store, 0, START

    def note_head(self) -> None:
        """Note the head outside the database, where setting that back does not reach, one at a time."""
        with self.database.write() as connection:
            self.heads.note(*self._head(connection))

    # ------------------------------------------------------------ asking

    def __len__(self) -> int:
        with self.database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(RECORDS)).scalar() or 0)

    def get(self, number: int) -> Stored:
        """The record of that number; raises BenchmarkError where there is none or it is damaged."""
        columns = (RECORDS.c.number, RECORDS.c.kind, RECORDS.c.written, RECORDS.c.payload, RECORDS.c.hash)
        with self.database.read() as connection:
            row = connection.execute(select(*columns).where(RECORDS.c.number == number)).first()
        if row is None:
            raise BenchmarkError(f"there is no record {number}")
        return Stored(row.number, row.hash, row.written, read_record(row.kind, bytes(row.payload)))

    def result(self, number: int) -> Result:
        """The result of that number; raises BenchmarkError where it is none."""
        found = self.get(number).record
        if not isinstance(found, Result):
            raise BenchmarkError(f"record {number} is a comparison, not a result")
        return found

    def program(self, sha256: str) -> bytes:
        """The program with that hash; raises BenchmarkError where it is not kept, or damaged."""
        with self.database.read() as connection:
            row = connection.execute(select(PROGRAMS.c.content).where(PROGRAMS.c.sha256 == sha256)).first()
        if row is None:
            raise BenchmarkError(f"the program {sha256[:12]} is not kept here")
        content = bytes(row.content)
        if digest(content) != sha256:
            raise BenchmarkError(f"the program {sha256[:12]} is damaged: its hash is {digest(content)[:12]}")
        return content

    def history(self, team: str) -> list[Row]:
        """All results of a team, in the order in which they came, invalid ones included."""
        return self._rows(RECORDS.c.team == team, RECORDS.c.kind == RESULT)

    def attempts(self, team: str, event: str, division: Division) -> int:
        """How many results a team has in an event and division, invalid ones included."""
        where = (RECORDS.c.team == team, RECORDS.c.event == event, RECORDS.c.division == division)
        with self.database.read() as connection:
            found = select(func.count()).select_from(RECORDS).where(RECORDS.c.kind == RESULT, *where)
            return int(connection.execute(found).scalar() or 0)

    def fingerprints(self, event: str, division: Division) -> list[str]:
        """The machines that have results in an event and division, the one with most of them first."""
        query = (
            select(RECORDS.c.fingerprint, func.count().label("results"))
            .where(RECORDS.c.event == event, RECORDS.c.division == division, RECORDS.c.kind == RESULT)
            .where(RECORDS.c.listed)
            .group_by(RECORDS.c.fingerprint)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return [row.fingerprint for row in sorted(rows, key=lambda row: (-row.results, row.fingerprint))]

    def board(
        self, event: str, division: Division, by: Board = "overall", fingerprint: str | None = None
    ) -> BoardView:
        """The board of an event, a division and one machine, by default the one with most results."""
        machines = self.fingerprints(event, division)
        machine = fingerprint or (machines[0] if machines else "")
        where = (
            RECORDS.c.event == event,
            RECORDS.c.division == division,
            RECORDS.c.fingerprint == machine,
        )
        rows = self._rows(*where, RECORDS.c.kind == RESULT)
        return view(event, division, by, machine, rows, self._pairs(*where, RECORDS.c.kind == COMPARISON))

    def comparison(self, first: str, second: str, fingerprint: str) -> bool:
        """Whether two programs have been run beside each other on a machine."""
        pair = RECORDS.c.entry.in_((first, second)) & RECORDS.c.other.in_((first, second))
        query = select(RECORDS.c.number).where(RECORDS.c.kind == COMPARISON, pair)
        with self.database.read() as connection:
            return connection.execute(query.where(RECORDS.c.fingerprint == fingerprint)).first() is not None

    def _rows(self, *where: Any) -> list[Row]:
        columns = [
            RECORDS.c[name] for name in ("number", "team", "entry", "event", "division", "written", "listed")
        ]
        query = (
            select(*columns, RECORDS.c.fingerprint, RECORDS.c.summary)
            .where(*where)
            .order_by(RECORDS.c.number)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return [
            Row(
                row.number,
                row.team,
                row.entry,
                row.event,
                row.division,
                row.written,
                row.fingerprint,
                bool(row.listed),
                _DECODER.decode(bytes(row.summary)),
            )
            for row in rows
        ]

    def _pairs(self, *where: Any) -> Pairs:
        """The comparisons by the hashes of both programs, the latest of each pair."""
        query = (
            select(RECORDS.c.entry, RECORDS.c.other, RECORDS.c.summary)
            .where(*where)
            .order_by(RECORDS.c.number)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        found: Pairs = {}
        for row in rows:
            found.pop((row.other, row.entry), None)
            found[row.entry, row.other] = _DECODER.decode(bytes(row.summary)).ratios
        return found


_DECODER = msgspec.json.Decoder(Summary)

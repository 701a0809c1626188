"""Uploads that wait to be measured: each is taken by one worker, and measured once, whatever ends."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, func, insert, select, update

from tinytorch.benchmarking.entry import Entry, parse
from tinytorch.benchmarking.result import Result
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.store.schema import JOBS
from tinytorch.errors import BenchmarkError

State = Literal["waiting", "running", "done", "failed"]
MOST_WAITING, MOST_OF_TEAM = 200, 25
STALE = 600.0
"""Seconds after which a worker that gives no sign of life has lost its job."""


@dataclass(frozen=True)
class Job:
    """An upload: its state, how many are before it, and what came of it."""

    id: int
    ticket: str
    event: str
    team: str
    state: State
    before: int = 0
    record: int | None = None
    reason: str = ""


class Queue:
    """The uploads of a store; `clock` gives the time in seconds."""

    def __init__(self, board: Leaderboard, clock: Callable[[], float] = time.time) -> None:
        self.board, self.clock = board, clock

    def put(self, entry: Entry, ticket: str | None = None) -> Job:
        """Have an entry wait its turn. `ticket`: a word by which sending it twice makes one job of it.

        Raises BenchmarkError where too many wait already.
        """
        ticket = ticket or secrets.token_hex(16)
        with self.board.database.write() as connection:
            row = connection.execute(select(JOBS.c.id).where(JOBS.c.ticket == ticket)).first()
            if row is None:
                self._require_room(connection, entry.description.team)
                values = {
                    "ticket": ticket,
                    "event": entry.description.event,
                    "team": entry.description.team,
                    "description": entry.text.encode(),
                    "program": entry.program,
                    "created": self.clock(),
                }
                connection.execute(insert(JOBS).values(**_NEW, **values))
        return self.job(ticket)

    def _require_room(self, connection: Connection, team: str) -> None:
        waiting = select(func.count()).select_from(JOBS).where(JOBS.c.state.in_(("waiting", "running")))
        if int(connection.execute(waiting).scalar() or 0) >= MOST_WAITING:
            raise BenchmarkError(f"{MOST_WAITING} entries wait already: come back later")
        if int(connection.execute(waiting.where(JOBS.c.team == team)).scalar() or 0) >= MOST_OF_TEAM:
            raise BenchmarkError(f"{MOST_OF_TEAM} entries of this team wait already: come back later")

    def job(self, ticket: str) -> Job:
        """The state of an upload by its ticket; raises BenchmarkError for an unknown one."""
        with self.board.database.read() as connection:
            row = connection.execute(select(*_SHOWN).where(JOBS.c.ticket == ticket)).first()
            if row is None:
                raise BenchmarkError(f"there is no upload {ticket[:40]!r}")
            ahead = (
                select(func.count()).select_from(JOBS).where(JOBS.c.state == "waiting", JOBS.c.id < row.id)
            )
            before = int(connection.execute(ahead).scalar() or 0) if row.state == "waiting" else 0
        return Job(row.id, row.ticket, row.event, row.team, row.state, before, row.record, row.reason)

    def jobs(self) -> list[Job]:
        """All that wait or run, in their order."""
        query = select(*_SHOWN).where(JOBS.c.state.in_(("waiting", "running"))).order_by(JOBS.c.id)
        with self.board.database.read() as connection:
            rows = connection.execute(query).all()
        found, before = [], 0
        for row in rows:
            found.append(Job(row.id, row.ticket, row.event, row.team, row.state, before))
            before += row.state == "waiting"
        return found

    # ------------------------------------------------------------ working

    def take(self, worker: str | None = None) -> tuple[Job, Entry] | None:
        """The next upload for this worker, now running; None where none waits."""
        name = worker or whoami()
        with self.board.database.write() as connection:
            self._give_back(connection)
            first = select(JOBS).where(JOBS.c.state == "waiting").order_by(JOBS.c.id).limit(1)
            row = connection.execute(first).first()
            if row is None:
                return None
            values = {"state": "running", "worker": name, "beat": self.clock()}
            connection.execute(update(JOBS).where(JOBS.c.id == row.id).values(**values))
        text = bytes(row.description)
        entry = Entry(parse(text), bytes(row.program), text.decode())
        return Job(row.id, row.ticket, row.event, row.team, "running"), entry

    def beat(self, job: Job, worker: str | None = None) -> bool:
        """Say that the worker is alive; False if the job is another's by now."""
        mine = (JOBS.c.id == job.id, JOBS.c.state == "running", JOBS.c.worker == (worker or whoami()))
        with self.board.database.write() as connection:
            return bool(connection.execute(update(JOBS).where(*mine).values(beat=self.clock())).rowcount)

    def finish(self, job: Job, result: Result, program: bytes, worker: str | None = None) -> int:
        """Append the result and end the job, both or neither; the number of the record.

        Raises BenchmarkError where the job is another's by now: then nothing is appended.
        """
        with self.board.database.write() as connection:
            self._end(connection, job, worker or whoami(), state="done")
            number = self.board.append(connection, result, program)
            reason = "; ".join(result.reasons)[:1000] if not result.valid else ""
            values = {"record": number, "reason": reason, "program": b""}
            connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(**values))
        self.board.note_head()
        return number

    def fail(self, job: Job, reason: str, worker: str | None = None) -> None:
        """End a job of which nothing came, with the reason."""
        with self.board.database.write() as connection:
            self._end(connection, job, worker or whoami(), state="failed", reason=reason[:1000], program=b"")

    def _end(self, connection: Connection, job: Job, worker: str, **values: Any) -> None:
        mine = (JOBS.c.id == job.id, JOBS.c.state == "running", JOBS.c.worker == worker)
        if not connection.execute(update(JOBS).where(*mine).values(**values)).rowcount:
            raise BenchmarkError(f"upload {job.id} is not this worker's any more")

    def _give_back(self, connection: Connection) -> None:
        """Jobs of workers that are gone wait again."""
        rows = connection.execute(
            select(JOBS.c.id, JOBS.c.worker, JOBS.c.beat).where(JOBS.c.state == "running")
        )
        for row in rows.all():
            if self.clock() - row.beat > STALE or _is_gone(row.worker):
                again = update(JOBS).where(JOBS.c.id == row.id).values(state="waiting", worker="")
                connection.execute(again)


_NEW = {"state": "waiting", "worker": "", "beat": 0.0, "reason": "", "record": None}
_SHOWN = [JOBS.c[name] for name in ("id", "ticket", "event", "team", "state", "record", "reason")]


def whoami() -> str:
    """This process, by host and number, with the time when it began: numbers are used again."""
    return f"{socket.gethostname()[:60]} {os.getpid()} {_born(os.getpid())}"


def _is_gone(worker: str) -> bool:
    """Whether a process of this host has ended; of others nothing is known."""
    host, _, rest = worker.partition(" ")
    number, _, born = rest.partition(" ")
    if host != socket.gethostname()[:60] or not number.isdecimal():
        return False
    return _born(int(number)) != born


def _born(number: int) -> str:
    """When a process began, as the system counts; "" where there is none, "?" where it does not tell."""
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except FileNotFoundError:
        return "" if os.path.isdir("/proc/self") else "?"
    except OSError:
        return "?"

"""TinyMLPerf from Python: load a benchmark, submit an entry, see the board."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytorch.benchmarking.compare import Contender, compare
from tinytorch.benchmarking.entry import Entry, described, read_entry
from tinytorch.benchmarking.events import (
    EVENTS,
    Event,
    baseline,
    baseline_model,
    canonical,
    event,
    program_for,
)
from tinytorch.benchmarking.measure import measure
from tinytorch.benchmarking.recipe import Kitchen
from tinytorch.benchmarking.result import Board, Division, Ratios, Result
from tinytorch.benchmarking.samples import Samples
from tinytorch.benchmarking.store.boards import Place
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.store.queue import Job, Queue
from tinytorch.benchmarking.text import board_text, result_text
from tinytorch.errors import BenchmarkError
from tinytorch.models.registry import Model
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array

BASELINE = "TinyTorch"
"""The team that the baselines stand on boards under."""
REACH = 2
"""Neighbours on each side of a board with which a new entry is run again, unless they have been."""


@dataclass(frozen=True)
class Benchmark:
    """An event with what an entrant has: the trained baseline, and batches to train and to choose by.

    `train` gives batches of inputs and targets anew each time; `validation` is a list of them. Test data is
    the runner's.
    """

    event: Event
    model: Model
    train: Any
    validation: Sequence[Any]


class TinyMLPerf:
    """The three events.

    >>> list(TinyMLPerf().events)
    ['mlp_sprint', 'cnn_marathon', 'transformer_decathlon']
    """

    events = EVENTS

    def load_benchmark(self, name: str) -> Benchmark:
        """The model and the data of an event; raises BenchmarkError for an unknown name."""
        one = event(name)
        kitchen = Kitchen(one)
        return Benchmark(one, baseline_model(one), kitchen.material.train, kitchen.validation)


@dataclass(frozen=True)
class Submission:
    """What became of an entry: its result, its record's number, and its place, where it has one."""

    result: Result
    number: int
    place: Place | None

    def __repr__(self) -> str:
        rank = (
            f"rank {self.place.rank}{' (shared)' if self.place.shared else ''}" if self.place else "no rank"
        )
        return f"{result_text(self.result)}\nrecord {self.number}: {rank}"


class Competition:
    """Measures entries on this machine and keeps their results on a board, by default the user's own.

    `strict`: refuse where this machine cannot isolate an entry. `private`: an organiser's test data by event.
    `verified`: an organiser's machine measures; elsewhere results say "local, unverified".
    """

    def __init__(
        self,
        board: Leaderboard | None = None,
        *,
        strict: bool = False,
        private: dict[str, Samples] | None = None,
        verified: bool = False,
    ) -> None:
        self.board = Leaderboard() if board is None else board
        self.strict, self.private, self.verified = strict, private or {}, verified
        self._compiled: dict[str, Array] = {}

    # ------------------------------------------------------------ submitting

    def submit_entry(
        self,
        entry: Entry | Module | str | Path,
        event_name: str | None = None,
        *,
        team: str = "",
        description: str = "",
        on_estimate: Callable[[Ratios], None] | None = None,
    ) -> Submission:
        """Measure an entry in full, keep its result, and find its place beside its neighbours.

        entry: an Entry, the path of its file, or a model, which becomes an open entry of `team`. Invalid
        results are kept too: they count as attempts. Raises BenchmarkError for what is no entry at all.
        """
        whole = self.entry_of(entry, event_name, team, description)
        says = whole.description
        if says.team == BASELINE:
            raise BenchmarkError(f"team {BASELINE}: the baselines' own; choose another name")
        self.enter_baseline(says.event, says.division)
        result, program = self._measured(whole, on_estimate)
        number = self.board.add(result, program)
        return self.placed(result, number)

    def entry_of(
        self, entry: Entry | Module | str | Path, event_name: str | None, team: str, description: str
    ) -> Entry:
        """An entry from whatever stands for one."""
        if isinstance(entry, Entry):
            return entry
        if isinstance(entry, str | Path):
            return read_entry(entry, event_name)
        if event_name is None:
            raise BenchmarkError("submit: a model does not say its event: give event_name")
        says = described({"event": event_name, "team": team or "local", "description": description})
        return Entry(says, canonical(program_for(event(event_name), entry)))

    def _measured(self, entry: Entry, on_estimate: Callable[[Ratios], None] | None) -> tuple[Result, bytes]:
        self._compiled = {}
        return measure(
            entry,
            strict=self.strict,
            private=self.private.get(entry.description.event),
            verified=self.verified,
            on_estimate=on_estimate,
            compiled=self._compiled,
        )

    def enter_baseline(self, event_name: str, division: Division) -> None:
        """Put the baseline on the board of this machine, once: measured beside itself, like any entry."""
        if any(row.team == BASELINE and row.listed for row in self._rows(event_name, division)):
            return
        says = described({"event": event_name, "team": BASELINE, "description": "the baseline"})
        entry = Entry(says, baseline(event_name))
        result, program = self._measured(entry, None)
        if not result.published:
            raise BenchmarkError(
                f"the baseline beside itself: {'; '.join((*result.reasons, *result.labels))}. "
                "Try again when nothing else runs"
            )
        for one in ("open", "closed"):
            if not any(row.team == BASELINE and row.listed for row in self._rows(event_name, one)):
                self.board.add(_in_division(result, one), program)

    def placed(self, result: Result, number: int) -> Submission:
        """Run a new entry beside its neighbours and, above the record, beside its holder; then its place."""
        if not (result.valid and result.published):
            return Submission(result, number, None)
        machine = result.machine.fingerprint
        for other in self._to_ask(result, number):
            if not self.board.comparison(result.entry, other.entry, machine):
                pair = [Contender(one, self.board.program(one.entry)) for one in (result, other)]
                self.board.add_comparison(compare(*pair, strict=self.strict, compiled=self._compiled))
        view = self.board.board(result.event, result.division, "overall", machine)
        place = next(
            (p for p in view.places if (p.row.team, p.row.entry) == (result.team, result.entry)), None
        )
        return Submission(result, number, place)

    def _to_ask(self, result: Result, number: int) -> list[Result]:
        """The neighbours above and below on the overall board, and the holder of a record that is beaten."""
        view = self.board.board(result.event, result.division, "overall", result.machine.fingerprint)
        order = [place.row for place in view.places]
        at = next((n for n, row in enumerate(order) if row.number == number), None)
        if at is None:
            return []
        near = [order[n] for n in (at - 1, at + 1) if 0 <= n < len(order)]
        holder = next((place.row for place in view.places if place.record), None)
        if holder is not None and order.index(holder) > at:
            near.append(holder)
        numbers = dict.fromkeys(row.number for row in near if row.entry != result.entry)
        return [self.board.result(n) for n in numbers]

    def _rows(self, event_name: str, division: Division) -> list[Any]:
        from tinytorch.benchmarking.machine import this_machine

        view = self.board.board(event_name, division, "overall", this_machine().fingerprint)
        return [place.row for place in view.places]

    # ------------------------------------------------------------ showing

    def display_leaderboard(
        self,
        event_name: str,
        division: Division = "open",
        by: Board = "overall",
        fingerprint: str | None = None,
    ) -> str:
        """A board as text: what `tito bench leaderboard` shows."""
        event(event_name)
        return board_text(self.board.board(event_name, division, by, fingerprint))

    # ------------------------------------------------------------ uploads

    def work(self, queue: Queue, told: list[Job] | None = None) -> Job | None:
        """Take the next upload and measure it to its end; the job as it is then, None where none waits.

        `told`: a list that holds the job while it is worked on.
        """
        taken = queue.take()
        if taken is None:
            return None
        job, entry = taken
        if told is not None:
            told.append(job)
        try:
            self.enter_baseline(entry.description.event, entry.description.division)
            result, program = self._measured(entry, None)
        except BenchmarkError as error:
            queue.fail(job, str(error))
            return queue.job(job.ticket)
        number = queue.finish(job, result, program)
        self.placed(result, number)
        return queue.job(job.ticket)


def _in_division(result: Result, division: Division) -> Result:
    """The result of a baseline, which needs no recipe and no training to be in either division."""
    import msgspec

    return msgspec.structs.replace(result, division=division)

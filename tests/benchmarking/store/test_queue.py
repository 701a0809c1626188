"""Uploads wait their turn, each is taken once, and a worker that dies loses nothing."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from sqlalchemy import update

from tests.benchmarking.store.made import program, result
from tinytorch.benchmarking.entry import Entry, parse
from tinytorch.benchmarking.store import queue as queues
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.store.queue import Queue, whoami
from tinytorch.benchmarking.store.schema import JOBS
from tinytorch.benchmarking.store.verify import verify
from tinytorch.errors import BenchmarkError


def entry(team: str = "a team") -> Entry:
    text = f'event = "mlp_sprint"\nteam = "{team}"\nprogram = "a.ttc"\n'
    return Entry(parse(text.encode()), b"bytes of a program", text)


def test_an_upload_goes_through_its_states(board: Leaderboard) -> None:
    queue = Queue(board)
    first, second = queue.put(entry()), queue.put(entry())
    assert (first.before, second.before) == (0, 1)
    taken = queue.take()
    assert taken is not None
    job, found = taken
    assert (job.id, found) == (first.id, entry())
    assert queue.job(first.ticket).state == "running"
    assert queue.job(second.ticket).before == 0
    assert queue.beat(job)
    number = queue.finish(job, result("a"), program("a"))
    done = queue.job(first.ticket)
    assert (done.state, done.record) == ("done", number)
    other = queue.take()
    assert other is not None
    queue.fail(other[0], "the machine was too noisy")
    assert queue.job(second.ticket).reason == "the machine was too noisy"
    assert queue.take() is None
    assert queue.jobs() == []
    assert verify(board) == []


def test_a_ticket_sent_twice_is_one_upload(board: Leaderboard) -> None:
    queue = Queue(board)
    assert queue.put(entry(), "same").id == queue.put(entry(), "same").id
    with pytest.raises(BenchmarkError, match="no upload"):
        queue.job("other")


def test_twenty_at_once_are_each_measured_once(board: Leaderboard) -> None:
    queue = Queue(board)
    taken: list[int] = []
    done: list[int] = []

    def put(number: int) -> None:
        queue.put(entry(f"team {number}"), f"ticket {number}")

    def work(number: int) -> None:
        while (found := queue.take(f"worker {number}")) is not None:
            taken.append(found[0].id)
            done.append(
                queue.finish(
                    found[0], result(str(found[0].id)), program(str(found[0].id)), f"worker {number}"
                )
            )

    for action, count in ((put, 20), (work, 3)):
        threads = [threading.Thread(target=action, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(taken) == 20
    assert max(Counter(taken).values()) == 1
    assert sorted(done) == list(range(1, 21))
    assert verify(board) == []


def test_the_job_of_a_worker_that_is_gone_waits_again_and_is_measured_once(board: Leaderboard) -> None:
    now = [1000.0]
    queue = Queue(board, lambda: now[0])
    ticket = queue.put(entry()).ticket
    slow = queue.take("elsewhere 1 1")
    assert slow is not None
    assert queue.take("here 2 2") is None
    now[0] += queues.STALE + 1
    again = queue.take("here 2 2")
    assert again is not None
    assert again[0].id == slow[0].id
    assert not queue.beat(slow[0], "elsewhere 1 1")
    with pytest.raises(BenchmarkError, match="not this worker's"):
        queue.finish(slow[0], result("a"), program("a"), "elsewhere 1 1")
    assert len(board) == 0
    queue.finish(again[0], result("a"), program("a"), "here 2 2")
    assert len(board) == 1
    assert queue.job(ticket).state == "done"


def test_a_process_of_this_host_that_ended_is_known_at_once(board: Leaderboard) -> None:
    queue = Queue(board)
    queue.put(entry())
    host, number, born = whoami().rsplit(" ", 2)
    assert queue.take(f"{host} {number} {int(born) - 1}") is not None
    assert queue.take() is not None, "another process has its number now"
    with board.database.write() as connection:
        connection.execute(update(JOBS).values(worker=whoami()))
    assert queue.take("somebody 1 1") is None


def test_too_many_are_refused(board: Leaderboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MOST_OF_TEAM", 2)
    monkeypatch.setattr(queues, "MOST_WAITING", 3)
    queue = Queue(board)
    for team in ("a", "a", "b"):
        queue.put(entry(team), None)
    with pytest.raises(BenchmarkError, match="3 entries wait"):
        queue.put(entry("c"))
    queue.take()
    monkeypatch.setattr(queues, "MOST_WAITING", 9)
    with pytest.raises(BenchmarkError, match="of this team"):
        queue.put(entry("a"))

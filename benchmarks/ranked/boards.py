"""A competition of its own, with a store in a folder that goes, and a thousand entries on its board."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from starlette.testclient import TestClient

from tinytorch.benchmarking import Competition
from tinytorch.benchmarking.entry import Entry, described
from tinytorch.benchmarking.events import baseline
from tinytorch.benchmarking.ratio import Ratio
from tinytorch.benchmarking.result import Comparison, Result, digest
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.store.queue import Queue
from tinytorch.benchmarking.web.app import make_app
from tinytorch.benchmarking.web.uploads import Rate

SPRINT = "mlp_sprint"


@contextmanager
def competition() -> Iterator[Competition]:
    """On an empty board."""
    with tempfile.TemporaryDirectory() as folder:
        board = Leaderboard(folder=Path(folder))
        yield Competition(board)
        board.close()


def entry(name: str, program: bytes, team: str = "bench") -> Entry:
    """An open entry of an event."""
    return Entry(described({"event": name, "team": team, "description": "of the benchmark"}), program)


def page_seconds(count: int, repeats: int = 20) -> float:
    """Median seconds of a server's answer with a board of `count` entries, each run beside the next.

    The entries are a measured one under other names, with other sizes, qualities and overall scores.
    """
    with competition() as run:
        run.enter_baseline(SPRINT, "open")
        place = run.board.board(SPRINT, "open", "overall", None).places[0]
        result, rng = run.board.result(place.row.number), np.random.default_rng(0)
        with run.board.database.write() as connection:
            for number in range(count):
                program = f"program {number}".encode()
                run.board.append(connection, _under(result, number, program, rng), program)
            for number in range(count - 1):
                run.board.append(connection, _beside(result, number))
        client = TestClient(make_app(run.board))
        times = []
        for _ in range(repeats):
            begun = time.perf_counter()
            assert client.get(f"/board/{SPRINT}/open").status_code == 200
            times.append(time.perf_counter() - begun)
    return float(np.median(times))


def _under(result: Result, number: int, program: bytes, rng: np.random.Generator) -> Result:
    assert result.ratios is not None, "it is valid"
    assert result.figures is not None, "it is valid"
    quality, file = 0.885 + 0.015 * rng.random(), int(20_000 * 20 ** rng.random())
    return msgspec.structs.replace(
        result,
        team=f"team {number}",
        entry=digest(program),
        ratios=msgspec.structs.replace(result.ratios, overall=Ratio(number / 1000, 0.001, 5.0)),
        figures=msgspec.structs.replace(result.figures, quality=quality, file=file),
    )


def _beside(result: Result, number: int) -> Comparison:
    first, second = (digest(f"program {n}".encode()) for n in (number, number + 1))
    same = Ratio(0.0, 0.001, 5.0)
    return Comparison(
        event=result.event,
        division=result.division,
        first=first,
        second=second,
        ratios={"overall": same, "speed": same, "memory": same, "size": same},
        machine=result.machine,
        runner=result.runner,
        seed=number,
        started=result.started,
        samples=(),
    )


def uploads(count: int) -> tuple[int, int]:
    """Upload so many files at once while two workers take them: how many wait or are done, and how often any
    was taken by both.
    """
    toml = f'event = "{SPRINT}"\nteam = "bench"\nprogram = "a.ttc"\n'
    with competition() as run:
        client, queue = TestClient(make_app(run.board, Rate(count)), follow_redirects=False), Queue(run.board)
        program, taken = baseline(SPRINT), []

        def upload(number: int) -> int:
            files = {"description": ("e.toml", toml), "program": ("a.ttc", program)}
            return int(client.post("/upload", files=files).status_code)

        def work(number: int) -> None:
            quiet = time.monotonic() + 5
            while time.monotonic() < quiet and len(taken) < count:
                found = queue.take()
                if found is not None:
                    taken.append(found[0].id)

        with ThreadPoolExecutor(count + 2) as pool:
            workers = [pool.submit(work, n) for n in range(2)]
            codes = list(pool.map(upload, range(count)))
            for worker in workers:
                worker.result()
    assert set(codes) == {303}, codes
    return len(set(taken)), len(taken) - len(set(taken))

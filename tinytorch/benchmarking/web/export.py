"""The boards as static files, which any web server shows, or a browser from the disk."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from tinytorch.benchmarking.events import EVENTS
from tinytorch.benchmarking.result import BOARDS
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.web.links import FileLinks
from tinytorch.benchmarking.web.pages import DIVISIONS, PAGE, Pages, numbers_of
from tinytorch.errors import BenchmarkError, CheckpointError
from tinytorch.training.files import write_whole

STATIC = files("tinytorch.benchmarking.web") / "static"


def export(store: Leaderboard, folder: Path) -> int:
    """Write all pages into a folder; how many files they are. Raises BenchmarkError where that fails."""
    count = 0
    try:
        for name, text in exported(store):
            write_whole(folder / name, text.encode())
            count += 1
    except (CheckpointError, OSError) as error:
        raise BenchmarkError(f"{folder}: cannot be written: {error}") from error
    return count


def exported(store: Leaderboard) -> Iterator[tuple[str, str]]:
    """All files by name."""
    links = FileLinks()
    pages = Pages(store, links)
    yield "bench.css", pages.style()
    yield links.page("index"), pages.index()
    yield links.page("rules"), pages.rules()
    yield links.page("museum"), pages.museum()
    for name in EVENTS:
        for division in DIVISIONS:
            for machine in ["", *store.fingerprints(name, division)]:
                rows = len(store.board(name, division, "overall", machine or None).places)
                for by in BOARDS:
                    for page in range(1, max(1, -(-rows // PAGE)) + 1):
                        text = pages.board(name, division, by, machine, page)
                        yield links.board(name, division, by, machine, page), text
    teams = set()
    for number in numbers_of(store):
        yield links.entry(number), pages.entry(number)
        teams.add(store.result(number).team)
    for team in sorted(teams):
        yield links.team(team), pages.team(team)

"""Measurements that are real but short: what is ranked in seconds, with fewer rounds and images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tinytorch.benchmarking import compare, measure, score
from tinytorch.benchmarking.competition import Competition
from tinytorch.benchmarking.entry import read_entry
from tinytorch.benchmarking.store.leaderboard import Leaderboard

ROUNDS = {"classify": 4, "score": 2, "generate": 2, "offline": 2}
STEPS = """event = "mlp_sprint"
team = "quantizers"
division = "closed"
description = "codes"

[[steps]]
kind = "quantize"
scheme = "int8"
"""


@pytest.fixture(scope="package")
def short() -> Iterator[None]:
    """Ranked measurements of few rounds, published even on a noisy machine."""
    with pytest.MonkeyPatch.context() as patch:
        for kind, count in (("images", 1000), ("text", 8)):
            plan = measure.Plan(count, 3, 1, ROUNDS, 2, True)
            patch.setitem(measure.PLANS, (kind, True), plan)
        patch.setattr(compare, "PROCESSES", {"images": 3, "text": 3})
        patch.setattr(compare, "INSTANCES", {"images": 1, "text": 1})
        patch.setattr(score, "is_steady", lambda ratio: True)
        yield


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store in which the baseline and one entry stand."""
    return tmp_path_factory.mktemp("tinymlperf")


@pytest.fixture(scope="package")
def competition(short: None, home: Path) -> Iterator[Competition]:
    """A competition with a closed entry of MLP Sprint, submitted like any other."""
    path = home / "entry.toml"
    path.write_text(STEPS)
    board = Leaderboard(home / "store.db", home)
    found = Competition(board)
    estimates: list[object] = []
    found.submit_entry(read_entry(path), on_estimate=estimates.append)
    assert len(estimates) == 1
    yield found
    board.close()

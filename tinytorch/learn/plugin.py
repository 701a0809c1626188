"""The pytest plugin of checks: their order, the seed of the day, and fresh random numbers for each."""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from tinytorch.errors import LearnError

SEED = "TITO_SEED"


def seed_of_the_day() -> int:
    """The seed that checks draw their inputs from: TITO_SEED if that is set, else the date as a number.

    Raises LearnError for a TITO_SEED that is no such number.
    """
    named = os.environ.get(SEED)
    try:
        seed = int(named) if named else int(time.strftime("%Y%m%d"))
    except ValueError:
        seed = -1
    if seed < 0:
        raise LearnError(f"{SEED} is {named!r}: it must be a whole number from 0 on, or not be set")
    return seed


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "exercise(*names): the exercises that a check needs")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers of its own for each check, from the seed of the day."""
    return np.random.default_rng([seed_of_the_day(), zlib.crc32(request.node.name.encode())])


@pytest.hookimpl(tryfirst=True)
def pytest_collectstart(collector: pytest.Collector) -> None:
    """Let checks import the helpers that lie beside them."""
    import sys

    folder = str(Path(collector.path).parent)
    if Path(collector.path).name.startswith("test_") and folder not in sys.path:
        sys.path.insert(0, folder)

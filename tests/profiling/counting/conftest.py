"""A count leaves nothing switched: checked after every test in this folder."""

from collections.abc import Iterator

import pytest

from tests.profiling.counting.switches import switches


@pytest.fixture(autouse=True)
def _nothing_is_left_switched() -> Iterator[None]:
    before = switches()
    yield
    assert switches() == before

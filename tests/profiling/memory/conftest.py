"""Coverage rests while memory is measured: its notes of lines lie in what tracemalloc counts."""

import pytest


@pytest.fixture(autouse=True)
def _only_what_the_package_takes(no_cover: None) -> None:
    """`no_cover`: pytest-cov's own."""

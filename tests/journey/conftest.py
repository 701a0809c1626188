"""What all tests of the journey share."""

from __future__ import annotations

import pytest

from tinytorch import console


@pytest.fixture(autouse=True, scope="module")
def quiet() -> object:
    """No bars among the results of the tests."""
    console.set_quiet(True)
    yield
    console.set_quiet(False)

"""Names that every example in a docstring may use."""

from typing import Any

import pytest

import tinytorch


@pytest.fixture(autouse=True)
def _names(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace["tt"] = tinytorch

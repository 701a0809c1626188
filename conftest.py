"""What all tests share: names for examples in docstrings, a folder for programs, one worker for a file."""

import atexit
import os
import shutil
import tempfile
from typing import Any

import pytest

import tinytorch

if "TINYTORCH_CACHE" not in os.environ:  # processes that share the tests get it from the first one
    os.environ["TINYTORCH_CACHE"] = tempfile.mkdtemp(prefix="tinytorch-programs-")
    atexit.register(shutil.rmtree, os.environ["TINYTORCH_CACHE"], ignore_errors=True)
os.environ.setdefault("TINYTORCH_CHOICES", "fixed")  # tests of the choice measure, no others


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests on one worker: what they share is made once, and files are quickly shared out."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))


@pytest.fixture(autouse=True)
def _names(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace["tt"] = tinytorch

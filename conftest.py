"""Names that every example in a docstring may use, and a folder of this run's own for compiled programs."""

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
collect_ignore_glob = ["tinytorch/benchmarking/store/migrations/*"]  # Alembic alone runs these
os.environ.setdefault("TINYTORCH_CHOICES", "fixed")  # tests of the choice measure, no others


@pytest.fixture(autouse=True)
def _names(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace["tt"] = tinytorch

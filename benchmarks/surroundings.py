"""The machine and the libraries that stand above each table of figures."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from tinytorch.profiling.hardware import machine

LIBRARIES = ("numpy", "numba", "llvmlite", "torch", "onnxruntime", "openvino")


def surroundings() -> str:
    """The processor and the versions, which stand above the tables."""
    return f"{machine.processor()}; {versions()}."


def versions() -> str:
    """The versions of Python and of what computes; "none" for what is not installed.

    >>> versions().startswith("Python 3.")
    True
    """
    found = [f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} none")
    return ", ".join(found)

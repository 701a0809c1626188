"""How many threads BLAS and TinyTorch's own kernels may use."""

from __future__ import annotations

import os
from pathlib import Path

from threadpoolctl import ThreadpoolController

from tinytorch.errors import TinyTorchError

_limit = 0


def set_num_threads(count: int) -> None:
    """Let BLAS and our own kernels use `count` threads; raises TinyTorchError for less than one.

    >>> before = get_num_threads()
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(before)
    """
    global _limit
    if count < 1:
        raise TinyTorchError(f"set_num_threads: {count} threads; expected 1 or more")
    _limit = count
    hold()


def hold() -> None:
    """Hold libraries that were loaded since to the number set, and SciPy's own BLAS to one thread.

    Updates run on SciPy's BLAS for its vector routines, which gain nothing from threads; but its waiting
    threads and those of NumPy's BLAS keep each other from the cores: an MLP step took 12 ms instead of 0.5.
    """
    for library in ThreadpoolController().lib_controllers:
        if Path(library.filepath).parent.name == "scipy.libs":
            library.set_num_threads(1)
        elif _limit:
            library.set_num_threads(_limit)


def limit() -> int:
    """The number set, or 0 if none was."""
    return _limit


def get_num_threads() -> int:
    """The number set, or what BLAS uses if none was."""
    if _limit:
        return _limit
    pools = [pool["num_threads"] for pool in ThreadpoolController().info()]
    return max(pools, default=os.cpu_count() or 1)

"""How many threads BLAS and TinyTorch's own kernels may use."""

from __future__ import annotations

import os

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
    ThreadpoolController().limit(limits=count)
    _limit = count


def hold() -> None:
    """Hold libraries that were loaded since to the number set."""
    if _limit:
        ThreadpoolController().limit(limits=_limit)


def get_num_threads() -> int:
    """The number set, or what BLAS uses if none was."""
    if _limit:
        return _limit
    pools = [pool["num_threads"] for pool in ThreadpoolController().info()]
    return max(pools, default=os.cpu_count() or 1)

"""Memory that code owns beside Python and NumPy (compiled buffers, mapped files), so that it is counted."""

from __future__ import annotations

import ctypes
import sys
import threading
import tracemalloc

from tinytorch.errors import ProfilingError

DOMAIN = 0x7474
"""Under which tracemalloc files these blocks: `tracemalloc.DomainFilter(True, DOMAIN)` shows them alone."""


class Allocations:
    """Blocks by address: whoever owns memory that tracemalloc cannot see says when it comes and goes.

    While tracemalloc runs, it is told of each block, so that peaks and sites include it. Thread-safe.

    >>> blocks = Allocations()
    >>> blocks.allocate("program", 4096, 1_000)
    >>> blocks.live, blocks.by_owner()
    (1000, {'program': 1000})
    >>> blocks.free(4096)
    >>> blocks.live
    0
    """

    def __init__(self) -> None:
        self._blocks: dict[int, tuple[str, int]] = {}
        self._lock = threading.Lock()

    @property
    def live(self) -> int:
        """Bytes of all blocks."""
        with self._lock:
            return sum(size for _, size in self._blocks.values())

    def by_owner(self) -> dict[str, int]:
        """Bytes of the blocks of each owner."""
        found: dict[str, int] = {}
        with self._lock:
            for owner, size in self._blocks.values():
                found[owner] = found.get(owner, 0) + size
        return found

    def allocate(self, owner: str, address: int, nbytes: int) -> None:
        """Say that `owner` holds `nbytes` at `address` from now on.

        Raises ProfilingError for a negative size and for an address that is held already.
        """
        if nbytes < 0 or address < 0:
            raise ProfilingError(f"allocate: {nbytes} bytes at {address}; expected no negative number")
        with self._lock:
            if address in self._blocks:
                held, size = self._blocks[address]
                raise ProfilingError(
                    f"allocate: {owner} says it holds {address:#x}, where {held} holds {size} bytes. "
                    "Call free(address) before memory is given back."
                )
            self._blocks[address] = owner, nbytes
            if tracemalloc.is_tracing():
                track(address, nbytes)

    def free(self, address: int) -> None:
        """Say that the block at `address` is about to go; raises ProfilingError for one nobody announced."""
        with self._lock:
            if self._blocks.pop(address, None) is None:
                raise ProfilingError(f"free: no block at {address:#x}; call allocate() when memory is taken")
            untrack(address)

    def track_all(self) -> None:
        """Tell tracemalloc, which has just been started, of the blocks from before."""
        with self._lock:
            for address, (_, size) in self._blocks.items():
                track(address, size)


def track(address: int, nbytes: int, domain: int = DOMAIN) -> None:
    """Have tracemalloc count a block, as a call of `PyTraceMalloc_Track` in C would.

    Nothing happens where the interpreter has no such function, or while nothing is traced.
    """
    if _api is not None:
        _api.PyTraceMalloc_Track(ctypes.c_uint(domain), ctypes.c_size_t(address), ctypes.c_size_t(nbytes))


def untrack(address: int, domain: int = DOMAIN) -> None:
    """Have tracemalloc forget a block; one it does not know is no error."""
    if _api is not None:
        _api.PyTraceMalloc_Untrack(ctypes.c_uint(domain), ctypes.c_size_t(address))


def _python_api() -> ctypes.PyDLL | None:
    """The interpreter's C functions, where tracemalloc has them: CPython."""
    return ctypes.pythonapi if sys.implementation.name == "cpython" else None


_api = _python_api()
allocations = Allocations()
"""The blocks of this process."""

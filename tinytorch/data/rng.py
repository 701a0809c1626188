"""Random numbers as a pure function of a key: the same (seed, epoch, batch) gives the same stream."""

from enum import IntEnum

import numpy as np

from tinytorch.errors import DataError


class Purpose(IntEnum):
    """What a stream is for; streams of different purposes never overlap."""

    SHUFFLE = 1
    TRANSFORM = 2
    WINDOWS = 3
    SPLIT = 4


def generator(seed: int, purpose: Purpose, major: int = 0, minor: int = 0) -> np.random.Generator:
    """Return a Philox generator whose key is (seed, purpose) and whose counter starts at (major, minor).

    Philox is counter-based (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3"): no state is
    carried from batch to batch, so a run can be taken up anywhere. Raises DataError for a negative seed.

    >>> first, second = (generator(0, Purpose.SHUFFLE, major=3).permutation(99) for _ in range(2))
    >>> bool((first == second).all())
    True
    """
    if not 0 <= seed < 2**64:
        raise DataError(f"seed: {seed} is outside 0 to 2**64 - 1; choose a non-negative seed")
    key = np.array([seed, purpose], dtype=np.uint64)
    counter = np.array([0, 0, minor, major], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))

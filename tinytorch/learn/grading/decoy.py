"""Something that an honest answer is not: what a check that was turned into a decoy expects."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.tensor import Tensor


def other(want: Any) -> Any:
    """A value that differs from `want` in all that `expect` compares.

    >>> other(True), other(3), other("a"), other([1, 2])
    (False, 4, 'a?', [2, 3])
    >>> other(np.array([1.0, np.nan]))
    array([2.7345, 1.2345])
    """
    if isinstance(want, bool):
        return not want
    if isinstance(want, int):
        return want + 1
    if isinstance(want, str):
        return want + "?"
    if isinstance(want, bytes):
        return want + b"?"
    if isinstance(want, list | tuple) and type(want) in (list, tuple):
        return type(want)(other(part) for part in want) if want else type(want)([0])
    if isinstance(want, dict):
        return {**want, "decoy": 0}
    if isinstance(want, float | np.ndarray | np.generic | Tensor):
        return _other_numbers(np.asarray(want))
    return object()


def _other_numbers(array: Any) -> Any:
    if array.size == 0:
        return np.ones((2, 3, 5, 7))
    if array.dtype.kind == "b":
        return ~array
    if array.dtype.kind not in "iuf":
        return object()
    return np.nan_to_num(array.astype(np.float64), posinf=0.0, neginf=0.0) * 1.5 + 1.2345

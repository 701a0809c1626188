"""Arrays of a shape and dtype that have no data: what tensors hold under `meta()`."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from tinytorch.errors import MetaError
from tinytorch.ops.spec import Array, Spec

_NOTHING = bytes(16)


class NoData(np.ndarray[Any, Any]):
    """An array whose elements all lie at one place; NumPy refuses to compute with it."""

    __slots__ = ()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **_: Any) -> NoReturn:
        raise refusal(ufunc.__name__)

    def __array_function__(self, function: Any, *_: Any) -> NoReturn:
        raise refusal(function.__name__)


def blank(spec: Spec) -> Array:
    """An array of this spec without data.

    >>> blank(Spec((1000, 1000, 1000), np.dtype("float32"))).nbytes
    4000000000
    """
    strides = (0,) * len(spec.shape)
    array: Array = NoData(spec.shape, spec.dtype, _NOTHING, strides=strides)
    return array


def refusal(what: str) -> MetaError:
    """The error of whoever wants values that are not there."""
    return MetaError(
        f"{what}: a tensor made under meta() has a shape and a dtype but no values. "
        "Compute outside of meta() with tensors made there, or keep to shapes."
    )

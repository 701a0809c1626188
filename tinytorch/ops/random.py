"""Random numbers from a counter, so that a stream can be stored, split and repeated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.base import Op, Sample
from tinytorch.ops.spec import Array, DType, Shape, Spec, int64

_DRAWS_PER_COUNT = {"float32": 8, "float64": 4}
"""A count of Philox-4x64 gives four 64-bit words: eight draws of 24 bits, or four of 53."""


@dataclass
class Uniform(Op):
    """out = uniform in [0, 1) from the state (key, counter), which is moved on in place

    Philox-4x64-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
    """

    shape: Shape
    dtype: DType
    mutates: ClassVar[tuple[int, ...]] = (0,)
    keeps: ClassVar[Any] = ()

    def infer(self, state: Spec) -> Spec:
        if state.shape != (2,) or state.dtype != int64:
            raise ShapeError(f"uniform: the state is int64[2] (key, counter), not {state.dtype}{state.shape}")
        if self.dtype.name not in _DRAWS_PER_COUNT:
            raise DTypeError(
                f"uniform: draws float32 or float64, not {self.dtype}. Cast the result with .to()."
            )
        return Spec(self.shape, self.dtype)

    def forward(self, state: Array) -> Any:
        key, counter = (int(word) % 2**64 for word in state)
        stream = np.random.Generator(np.random.Philox(key=key, counter=counter))
        out = stream.random(self.shape, self.dtype.type)
        state[1] += -(-math.prod(self.shape) // _DRAWS_PER_COUNT[self.dtype.name])
        return out

    def flops(self, out: Spec, state: Spec) -> int:
        return 0

    def bytes(self, out: Spec, state: Spec) -> int:
        return 2 * state.nbytes + out.nbytes


Uniform.samples = [
    Sample(Uniform((3, 4), np.dtype(t)), np.array([7, 0]), differentiable=False)
    for t in ("float32", "float64")
]

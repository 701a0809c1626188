"""How GGUF files store the elements of a tensor: floats, and blocks of codes with a scale."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from tinytorch.ops.blocks import BLOCK, Format
from tinytorch.ops.spec import Array


class TensorType(ABC):
    """A way to store elements: blocks of `block` elements in `size` bytes each."""

    name: str
    block: int
    size: int

    def nbytes(self, elements: int) -> int:
        """Bytes of so many elements, a multiple of a block."""
        return elements // self.block * self.size

    @abstractmethod
    def dequantize(self, raw: Array) -> Array:
        """The elements as float32: (rows, columns) of uint8 (rows, bytes)."""


class Float(TensorType):
    """Elements as they are, in float32 or float16."""

    block = 1

    def __init__(self, name: str, dtype: str) -> None:
        self.name, self.dtype = name, np.dtype(dtype)
        self.size = self.dtype.itemsize

    def dequantize(self, raw: Array) -> Array:
        return raw.view(self.dtype).astype(np.float32)


class Blocked(TensorType):
    """Blocks that are multiplied as they are: see `tinytorch.ops.blocks`."""

    format: Format

    @abstractmethod
    def parts(self, blocks: Array) -> tuple[Array, Array, Array | None]:
        """Codes as `Format.join` gives them, scales and minima, if any, of uint8 (rows, blocks, size).

        Codes: uint8 (rows, columns / 32, ..), the others float16 (rows, columns / 32).
        """

    def packed(self, raw: Array) -> Array:
        """The blocks of uint8 (rows, bytes) in panels, as `BlockLinear` takes them; int8."""
        return self.format.pack(*self.parts(raw.reshape(len(raw), -1, self.size)))

    def dequantize(self, raw: Array) -> Array:
        codes, scale, minimum = self.parts(raw.reshape(len(raw), -1, self.size))
        if self.format.bits == 4:
            codes = np.concatenate([codes & 15, codes >> 4], -1)
        wide = scale.astype(np.float32)[..., None]
        low = -wide * self.format.middle if minimum is None else minimum.astype(np.float32)[..., None]
        with np.errstate(invalid="ignore"):
            out: Array = (codes.astype(np.float32) * wide + low).reshape(len(raw), -1)
        return out


def _half(blocks: Array, begin: int) -> Array:
    """The float16 at a byte of each block."""
    return np.ascontiguousarray(blocks[..., begin : begin + 2]).view(np.float16)[..., 0]


class Q4_0(Blocked):  # noqa: N801 - its name in the format
    """A scale, and 32 codes of four bits around 8."""

    name, block, size, format = "Q4_0", BLOCK, 18, Format(4, minimum=False)

    def parts(self, blocks: Array) -> tuple[Array, Array, Array | None]:
        return blocks[..., 2:], _half(blocks, 0), None


class Q4_1(Blocked):  # noqa: N801
    """A scale, a minimum, and 32 codes of four bits."""

    name, block, size, format = "Q4_1", BLOCK, 20, Format(4, minimum=True)

    def parts(self, blocks: Array) -> tuple[Array, Array, Array | None]:
        return blocks[..., 4:], _half(blocks, 0), _half(blocks, 2)


class Q8_0(Blocked):  # noqa: N801
    """A scale, and 32 codes of eight bits with a sign."""

    name, block, size, format = "Q8_0", BLOCK, 34, Format(8, minimum=False)

    def parts(self, blocks: Array) -> tuple[Array, Array, Array | None]:
        return blocks[..., 2:] ^ 128, _half(blocks, 0), None


class Q4_K(Blocked):  # noqa: N801
    """256 codes of four bits; eight scales and minima of six bits, times one scale and one minimum of all.

    The products, scales and minima of 32 codes each, are rounded to float16.
    """

    name, block, size, format = "Q4_K", 256, 144, Format(4, minimum=True)

    def parts(self, blocks: Array) -> tuple[Array, Array, Array | None]:
        rows, count = blocks.shape[:2]
        six = blocks[..., 4:16]
        scale, low, rest = six[..., :4], six[..., 4:8], six[..., 8:]
        scales = np.concatenate([scale & 63, (rest & 15) | (scale >> 6 << 4)], -1)
        minima = np.concatenate([low & 63, (rest >> 4) | (low >> 6 << 4)], -1)
        bytes_of_64 = blocks[..., 16:].reshape(rows, count, 4, 32)  # 32 codes in low halves, the next in high
        codes = np.stack([bytes_of_64 & 15, bytes_of_64 >> 4], 3).reshape(rows, count * 8 * BLOCK)
        whole, lowest = (_half(blocks, i).astype(np.float32)[..., None] for i in (0, 2))
        with np.errstate(over="ignore", invalid="ignore"):  # a damaged scale can be infinite
            both = [(whole * scales).astype(np.float16), (-lowest * minima).astype(np.float16)]
        return self.format.join(codes), *(a.reshape(rows, -1) for a in both)


TYPES: Mapping[int, TensorType] = MappingProxyType(
    {0: Float("F32", "<f4"), 1: Float("F16", "<f2"), 2: Q4_0(), 3: Q4_1(), 8: Q8_0(), 12: Q4_K()}
)
"""By their number in the format: those that are read."""

_OTHERS = {
    6: "Q5_0",
    7: "Q5_1",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    13: "Q5_K",
    14: "Q6_K",
    15: "Q8_K",
    30: "BF16",
}


def unread(number: int) -> str:
    """What a type that is not read is called, and which are.

    >>> unread(14)
    'Q6_K (F32, F16, Q4_0, Q4_1, Q8_0, Q4_K can be read)'
    """
    there = ", ".join(kind.name for kind in TYPES.values())
    return f"{_OTHERS.get(number, f'type {number}')} ({there} can be read)"

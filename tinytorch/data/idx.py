"""The IDX format of the MNIST family: a magic number, big-endian sizes, then raw values."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinytorch.errors import DataError

_UBYTE = 0x08
LARGEST = 2**28
"""Bytes that a file may hold once unpacked: five times the training images of MNIST."""


def parse_idx(raw: bytes, ndim: int, source: str = "IDX data") -> NDArray[np.uint8]:
    """Return the uint8 array held in the IDX bytes `raw`, read-only and not copied.

    The header is compared with the bytes that are there before anything is allocated. Raises DataError when
    the magic number is not that of unsigned bytes with `ndim` axes, or when the sizes do not fit the length.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]), ndim=1)
    array([7, 8, 9], dtype=uint8)
    """
    header = 4 + 4 * ndim
    if len(raw) < header:
        raise DataError(
            f"{source}: {len(raw)} bytes are too few for an IDX header of {header}; get the file again"
        )
    if raw[:4] != bytes((0, 0, _UBYTE, ndim)):
        raise DataError(
            f"{source}: starts with {raw[:4].hex()}, not with 0000{_UBYTE:02x}{ndim:02x} "
            f"(IDX, unsigned bytes, {ndim} axes); is it the right file?"
        )
    shape = struct.unpack(f">{ndim}I", raw[4:header])
    if math.prod(shape) != len(raw) - header:
        raise DataError(
            f"{source}: the header promises {shape} = {math.prod(shape)} bytes "
            f"but {len(raw) - header} follow; the file is cut off or damaged, get it again"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)


def format_idx(array: NDArray[np.uint8]) -> bytes:
    """Return the IDX bytes of a uint8 array; `parse_idx` reads them back.

    >>> format_idx(np.array([7, 8], dtype=np.uint8)).hex()
    '00000801000000020708'
    """
    if array.dtype != np.uint8:
        raise DataError(f"IDX holds uint8 here, not {array.dtype}; convert with .astype(np.uint8)")
    header = bytes((0, 0, _UBYTE, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def read_idx(path: Path, ndim: int, limit: int = LARGEST) -> NDArray[np.uint8]:
    """Read an IDX file, plain or gzip-compressed (told apart by content, not by name).

    Raises DataError for a file that cannot be read, holds more than `limit` bytes, or is not IDX.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            raw = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); get the file again") from error
    if len(raw) > limit:
        raise DataError(
            f"{path}: holds more than {limit:,} bytes, too many for this set; is it the right file?"
        )
    return parse_idx(raw, ndim, str(path))

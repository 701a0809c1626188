"""GGUF files: what a language model is called, how it is built, its tokens and its weights, in one file.

Version 3 of the format of llama.cpp: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The file is
mapped, not read: weights come from it when they are asked for. Nothing in it is believed before it is checked
against the size of the file, so that no file makes a reader take more memory than a few times its own size.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.errors import ModelFileError
from tinytorch.models.gguf_types import TYPES, TensorType, unread
from tinytorch.ops.spec import Array

MAGIC, VERSION = b"GGUF", 3
ALIGNMENT = 32
"""Bytes: where tensors begin, unless the file says otherwise."""
DEEPEST = 4
"""Arrays within each other."""

_NUMBERS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in a file: its shape, slowest axis first, how its elements are stored, and where."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    begin: int
    """Bytes from the start of the file."""

    @property
    def nbytes(self) -> int:
        return self.type.nbytes(math.prod(self.shape))


class GGUF:
    """A file, checked: `metadata` by key, `tensors` by name, and their bytes. Use it in a `with` block.

    Raises ModelFileError, with what is wrong and where, for anything but a whole file of version 3.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise ModelFileError(f"{path}: there is no such file") from None
        except (OSError, ValueError) as error:
            raise ModelFileError(f"{path}: cannot be read ({error})") from error
        try:
            reader = _Reader(self._map, str(path))
            self.metadata, infos = reader.header()
            self.tensors = {info.name: info for info in infos}
        except BaseException:
            self._map.close()
            raise

    def __enter__(self) -> GGUF:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the file; arrays made from it stay."""
        self._map.close()

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self._map)

    def get(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """The metadata under a key, of that type; raises ModelFileError where it is missing or another."""
        found = self.metadata.get(key, default)
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            what = "is missing" if found is None else f"is {type(found).__name__} {str(found)[:40]!r}"
            raise ModelFileError(f"{self.path}: {key} {what}")
        return found

    def info(self, name: str, *shape: int) -> TensorInfo:
        """The tensor of that name, which must have that shape; raises ModelFileError."""
        if name not in self.tensors:
            raise ModelFileError(f"{self.path}: there is no tensor {name}")
        found = self.tensors[name]
        if found.shape != shape:
            raise ModelFileError(f"{self.path}: {name} is {found.shape}; the metadata make it {shape}")
        return found

    def raw(self, info: TensorInfo) -> Array:
        """The bytes of a tensor: uint8 (rows, bytes of a row), copied out of the file."""
        rows = math.prod(info.shape[:-1])
        data = self._map[info.begin : info.begin + info.nbytes]
        return np.frombuffer(data, np.uint8).reshape(rows, -1)

    def array(self, info: TensorInfo) -> Array:
        """The elements of a tensor as float32, whatever they are stored as."""
        return info.type.dequantize(self.raw(info)).reshape(info.shape)


class _Reader:
    """Goes through the header of a file."""

    def __init__(self, data: mmap.mmap, path: str) -> None:
        self.data, self.path, self.at = data, path, 0

    def fail(self, reason: str) -> ModelFileError:
        return ModelFileError(f"{self.path}: {reason}")

    def take(self, count: int, what: str) -> bytes:
        """The next bytes; raises ModelFileError where there are not so many."""
        if count > len(self.data) - self.at:
            raise self.fail(
                f"cut off or damaged: {what} at byte {self.at:,} needs {count:,} bytes, and "
                f"{len(self.data) - self.at:,} are left"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str, what: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form), what))[0]

    def count(self, what: str, least: int, form: str = "<Q") -> int:
        """How many of something follow, each of at least so many bytes."""
        found: int = self.number(form, what)
        if found > (len(self.data) - self.at) // least:
            raise self.fail(f"damaged: {what} is {found:,}, more than fit into the file")
        return found

    def string(self, what: str) -> str:
        raw = self.take(self.count(f"the length of {what}", 1), what)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.fail(f"damaged: {what} before byte {self.at:,} is no UTF-8") from None

    # ------------------------------------------------------------ parts

    def header(self) -> tuple[dict[str, Any], list[TensorInfo]]:
        """Metadata and tensors, all checked."""
        if self.take(4, "the magic") != MAGIC:
            raise self.fail("is no GGUF file: it does not begin with GGUF")
        version = self.number("<I", "the version")
        if version != VERSION:
            kind = "a big-endian file" if version == VERSION << 24 else f"version {version}"
            raise self.fail(f"{kind}; version {VERSION}, little-endian, is read")
        tensors = self.count("the number of tensors", 24)
        pairs = self.count("the number of metadata", 13)
        metadata: dict[str, Any] = {}
        for _ in range(pairs):
            key = self.string("a key")
            if key in metadata:
                raise self.fail(f"damaged: the key {key[:60]!r} comes twice")
            label = repr(key[:60])
            metadata[key] = self.value(self.number("<I", label), label)
        found = [self.tensor() for _ in range(tensors)]
        if len({info.name for info in found}) != len(found):
            raise self.fail("damaged: two tensors have the same name")
        return metadata, self.placed(found, metadata)

    def value(self, kind: int, key: str, depth: int = 0) -> Any:
        """A number, text, or a list of such."""
        if kind == _STRING:
            return self.string(key)
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind], key)
        if kind != _ARRAY or depth >= DEEPEST:
            raise self.fail(f"damaged: {key} has the unknown type {kind}, or too many arrays in each other")
        inner = self.number("<I", key)
        if inner in _NUMBERS:
            form = _NUMBERS[inner]
            count = self.count(f"the length of {key}", struct.calcsize(form))
            raw = self.take(count * struct.calcsize(form), key)
            return np.frombuffer(raw, np.dtype(form)).tolist()
        count = self.count(f"the length of {key}", 8 if inner == _STRING else 12)
        return [self.value(inner, key, depth + 1) for _ in range(count)]

    def tensor(self) -> TensorInfo:
        """A tensor as the header names it: `begin` counts from where tensors begin."""
        name = self.string("the name of a tensor")
        label = repr(name[:60])
        axes = self.number("<I", label)
        if not 1 <= axes <= 4:
            raise self.fail(f"damaged: tensor {label} has {axes} axes")
        shape = tuple(self.number("<Q", label) for _ in range(axes))[::-1]
        kind, begin = self.number("<I", label), self.number("<Q", label)
        if kind not in TYPES:
            raise self.fail(f"tensor {label} is stored as {unread(kind)}, which is not read")
        found = TensorInfo(name, shape, TYPES[kind], begin)
        if 0 in shape or math.prod(shape) > len(self.data) * 8 or shape[-1] % found.type.block:
            raise self.fail(f"damaged: tensor {label} has the shape {shape} as {found.type.name}")
        return found

    def placed(self, infos: list[TensorInfo], metadata: dict[str, Any]) -> list[TensorInfo]:
        """The tensors with their place in the file, which must hold them."""
        alignment = metadata.get("general.alignment", ALIGNMENT)
        if type(alignment) is not int or not 1 <= alignment <= 2**20 or alignment & (alignment - 1):
            raise self.fail(f"damaged: the alignment is {str(alignment)[:40]}, not a power of two")
        start = -(-self.at // alignment) * alignment
        found = []
        for info in infos:
            begin = start + info.begin
            if info.begin % alignment or begin + info.nbytes > len(self.data):
                raise self.fail(
                    f"cut off or damaged: tensor {info.name[:60]!r} lies at bytes {begin:,} to "
                    f"{begin + info.nbytes:,}, and the file has {len(self.data):,}"
                )
            found.append(TensorInfo(info.name, info.shape, info.type, begin))
        ordered = sorted(found, key=lambda info: info.begin)
        for before, after in pairwise(ordered):  # else a small file could hold many large tensors
            if after.begin < before.begin + before.nbytes:
                raise self.fail(f"damaged: tensors {before.name[:60]!r} and {after.name[:60]!r} overlap")
        return found

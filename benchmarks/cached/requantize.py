"""A GGUF file with its Q4_1 tensors in Q4_0, the format in which llama.cpp is fastest on CPUs."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from tinytorch.models.gguf import ALIGNMENT, GGUF, TensorInfo
from tinytorch.ops.spec import Array


def to_q4_0(source: Path, target: Path) -> None:
    """Write the file anew: metadata as they are, Q4_1 as Q4_0, all else copied."""
    with GGUF(source) as file:
        head = _metadata(source, len(file.metadata))
        infos, blobs, at = [], [], 0
        for info in file.tensors.values():
            requantized = info.type.name == "Q4_1"
            blob = _q4_0(file.array(info)) if requantized else file.raw(info).tobytes()
            infos.append(_entry(info, 2 if requantized else _NUMBERS[info.type.name], at))
            blobs.append(blob + bytes(-len(blob) % ALIGNMENT))
            at += len(blobs[-1])
    start = struct.pack(
        "<4sIQQ", b"GGUF", 3, len(infos), struct.unpack_from("<Q", source.read_bytes()[:24], 16)[0]
    )
    header = start + head + b"".join(infos)
    target.write_bytes(header + bytes(-len(header) % ALIGNMENT) + b"".join(blobs))


_NUMBERS = {"F32": 0, "F16": 1, "Q8_0": 8}


def _entry(info: TensorInfo, kind: int, at: int) -> bytes:
    name, shape = info.name.encode(), info.shape[::-1]
    return struct.pack(f"<Q{len(name)}sI{len(shape)}QIQ", len(name), name, len(shape), *shape, kind, at)


def _metadata(source: Path, count: int) -> bytes:
    """The bytes of the metadata: between the counts and the first tensor's name."""
    import mmap

    from tinytorch.models.gguf import _Reader

    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = _Reader(data, str(source))
        reader.at = 24
        for _ in range(count):
            reader.string("a key")
            reader.value(reader.number("<I", "a type"), "a value")
        return data[24 : reader.at]


def _q4_0(weights: Array) -> bytes:
    """Blocks of 32: the weight of the largest size becomes code 0, which stands for -8."""
    blocks = weights.reshape(-1, 32)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], 1)
    scale = largest / -8
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(scale == 0, 0, 1 / scale)
    codes = np.minimum(15, np.floor(blocks * inverse + 8.5)).astype(np.uint8)
    packed = codes[:, :16] | (codes[:, 16:] << 4)
    return np.concatenate([scale.astype(np.float16).view(np.uint8), packed], 1).tobytes()

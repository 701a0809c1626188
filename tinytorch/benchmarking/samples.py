"""What events are scored and timed on: test data as it is, and under small changes that a seed draws."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from tinytorch import data
from tinytorch.benchmarking.events import Event
from tinytorch.data.registry import ImageName
from tinytorch.errors import BenchmarkError
from tinytorch.ops.spec import Array

SHIFT, NOISE = 1, 0.02
"""Pixels by which images are moved at most, and the standard deviation of what is added, white being 1."""
PROMPT, NEW = 64, 64
"""Bytes of a prompt, and bytes that are to follow."""


@dataclass(frozen=True)
class Samples:
    """Inputs (count, ...) with their labels: classes (count,), or for text the byte behind each position."""

    inputs: Array
    labels: Array

    def __len__(self) -> int:
        return len(self.inputs)

    def some(self, count: int) -> Samples:
        """The first so many."""
        return Samples(self.inputs[:count], self.labels[:count])


def plain(event: Event, count: int, private: Samples | None = None) -> Samples:
    """The test data of an event as it is: `count` images or windows, spread over all of it.

    The same for everybody, so that the gate does not depend on luck. `private`: an organiser's own data.
    """
    if event.kind == "images":
        whole = _images(event) if private is None else private
        at = _spread(len(whole), count)
        return Samples(whole.inputs[at], whole.labels[at])
    text, width = _text(event), event.inputs.shape[1]
    if private is not None:
        return private.some(count)
    return _windows(text, _spread(len(text) - width - 1, count), width)


def transformed(event: Event, count: int, seed: int, private: Samples | None = None) -> Samples:
    """The same data under small random changes: images moved by a pixel and with noise, text cut elsewhere.

    What has learnt the test data by heart knows the plain samples only.
    """
    rng = _rng(seed, "transformed")
    if event.kind == "images":
        some = plain(event, count, private)
        return Samples(disturbed(some.inputs, rng), some.labels)
    if private is not None:
        return private.some(count)
    text, width = _text(event), event.inputs.shape[1]
    spread = _spread(len(text) - 2 * width - 1, count)
    return _windows(text, spread + rng.integers(1, width, len(spread)), width)


def fresh(event: Event, count: int, seed: int, process: int) -> Samples:
    """Inputs that nobody has seen, for timing in one process: drawn from test data, and changed."""
    rng = _rng(seed, f"fresh {process}")
    if event.kind == "images":
        whole = _images(event)
        at = rng.permutation(len(whole))[:count]
        return Samples(disturbed(whole.inputs[at], rng), whole.labels[at])
    text, width = _text(event), event.inputs.shape[1]
    return _windows(text, rng.integers(0, len(text) - width - 1, count), width)


def disturbed(images: Array, rng: np.random.Generator) -> Array:
    """Images (count, channels, height, width), each moved by up to SHIFT pixels, with noise; in [0, 1].

    >>> disturbed(np.zeros((2, 1, 4, 4), np.float32), np.random.default_rng(0)).shape
    (2, 1, 4, 4)
    """
    n, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
    moves = rng.integers(0, 2 * SHIFT + 1, (n, 2))
    rows = moves[:, :1] + np.arange(height)
    columns = moves[:, 1:] + np.arange(width)
    moved = padded[np.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].transpose(
        0, 3, 1, 2
    )
    noise = rng.standard_normal(moved.shape, np.float32) * np.float32(NOISE)
    return np.ascontiguousarray(np.clip(moved + noise, 0, 1))


def read_private(event: Event, path: str | Path) -> Samples:
    """An organiser's own test data: a safetensors file of `inputs` and `labels`.

    Images: uint8 (count, 1, 28, 28) and int64 (count,); text: uint8 bytes (length,) as `inputs` alone. Raises
    BenchmarkError for anything else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found: dict[str, Any] = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise BenchmarkError(f"{path}: no private set: {error}") from None
    empty = np.zeros(0, np.float32)
    inputs, labels = found.get("inputs", empty), found.get("labels", empty)
    if event.kind == "text":
        if inputs.dtype != np.uint8 or inputs.ndim != 1 or len(inputs) < 4096:
            raise BenchmarkError(f"{path}: expected `inputs`, 4,096 bytes of text or more as uint8")
        width = event.inputs.shape[1]
        return _windows(inputs.tobytes(), _spread(len(inputs) - width - 1, len(inputs) // width), width)
    shape = event.inputs.shape[1:]
    wrong = inputs.dtype != np.uint8 or inputs.shape[1:] != shape
    if wrong or labels.shape != (len(inputs),) or not len(inputs):
        raise BenchmarkError(
            f"{path}: expected `inputs`, uint8 (count, {shape}), and `labels`, int64 (count,)"
        )
    classes = event.outputs.shape[1]
    if labels.dtype != np.int64 or labels.min() < 0 or labels.max() >= classes:
        raise BenchmarkError(f"{path}: labels are int64 from 0 to {classes - 1}")
    return Samples(inputs.astype(np.float32) / np.float32(255), labels)


# ---------------------------------------------------------------- where it comes from


def _images(event: Event) -> Samples:
    found = data.load(cast("ImageName", event.data), "test")
    return Samples(found.images, found.labels)


def _text(event: Event) -> bytes:
    return data.load("pydocs", "test").text


def _windows(text: bytes, starts: Array, width: int) -> Samples:
    ids = np.frombuffer(text, np.uint8).astype(np.int64)
    rows = ids[np.asarray(starts)[:, None] + np.arange(width + 1)]
    return Samples(np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, 1:]))


def _spread(length: int, count: int) -> Array:
    """So many places, or all, evenly over a length."""
    return np.linspace(0, length - 1, min(count, length)).astype(np.int64)


def _rng(seed: int, use: str) -> np.random.Generator:
    """Numbers of their own for each use of a seed."""
    drawn = hashlib.sha256(f"{seed} {use}".encode()).digest()
    return np.random.default_rng(int.from_bytes(drawn, "little"))

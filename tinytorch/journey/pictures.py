"""Pictures of weights: filters as images, and where a layer's zeros are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinytorch.compression.masks import prunable
from tinytorch.compression.shrunk import Shrunk
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.profiling import words

ZERO, GONE = 128, 0
"""Codes of a weight of 0, and of what is not there."""
FAINT = 32
"""The least distance from ZERO of a weight that is not 0, so that it can be seen."""
TILES, MAP, SHOWN = 16, (32, 64), 4
"""Images shown of a layer, cells of a map, and layers that have one, at most."""


@dataclass(frozen=True)
class Panel:
    """Cells of a picture, two hexadecimal digits each, row by row: 80 is a zero, ff the largest weight above
    it, 01 below it, and 00 stands for what is no longer there, or never was.
    """

    caption: str
    height: int
    width: int
    cells: str


@dataclass(frozen=True)
class Picture:
    """Panels to be looked at side by side."""

    title: str
    note: str
    panels: tuple[Panel, ...]


def decoded(panel: Panel) -> Array:
    """The codes of a panel, uint8 (height, width)."""
    codes: Array = np.frombuffer(bytes.fromhex(panel.cells), np.uint8)
    return codes.reshape(panel.height, panel.width)


def weight_codes(values: Array, largest: float) -> Array:
    """Codes of weights: ZERO for 0, up to 255 above it and down to 1 below it, at `largest` and beyond.

    >>> weight_codes(np.array([-2.0, 0.0, 0.001, 1.0]), 1.0)
    array([  1, 128, 160, 255], dtype=uint8)
    """
    far = FAINT + (127 - FAINT) * np.minimum(np.abs(values) / (largest or 1.0), 1.0)
    codes: Array = (ZERO + np.sign(values) * far.round()).astype(np.uint8)
    return codes


def as_images(weight: Array) -> Array | None:
    """What each output multiplies its inputs by, as images (outputs, height, width): the filters of one
    channel, or rows over square images; None for other weights.
    """
    if weight.ndim == 4 and weight.shape[1] == 1:
        filters: Array = weight[:, 0]
        return filters
    side = math.isqrt(weight.shape[1])
    if weight.ndim == 2 and side >= 8 and side * side == weight.shape[1]:
        return weight.reshape(-1, side, side)
    return None


def tiles(caption: str, images: Array, shown: Sequence[int | None], largest: float) -> Panel:
    """Some of the images, in rows of about as many as there are rows; None leaves a place empty."""
    height, width = images.shape[1:]
    across = math.ceil(math.sqrt(len(shown)))
    down = math.ceil(len(shown) / across)
    cells = np.full((down * (height + 1) + 1, across * (width + 1) + 1), GONE, np.uint8)
    for place, number in enumerate(shown):
        if number is not None:
            top, left = place // across * (height + 1) + 1, place % across * (width + 1) + 1
            cells[top : top + height, left : left + width] = weight_codes(images[number], largest)
    return _panel(caption, cells)


def some(count: int) -> list[int]:
    """Numbers of up to TILES of so many images, at even distances.

    >>> some(3), some(32)[:4]
    ([0, 1, 2], [0, 2, 4, 6])
    """
    return [int(i) for i in np.arange(min(count, TILES)) * count // min(count, TILES)]


def zero_map(caption: str, weight: Array) -> Panel:
    """The share of weights that are not 0, by output (down) and input (across) in cells: ZERO for none of
    them, 255 for all.
    """
    kept = (weight.reshape(len(weight), -1) != 0).astype(np.float64)
    for axis, most in enumerate(MAP):
        size = kept.shape[axis]
        edges = np.arange(min(size, most)) * size // min(size, most)
        counts = np.diff([*edges, size])
        shape = (-1, 1) if axis == 0 else (1, -1)
        kept = np.add.reduceat(kept, edges, axis=axis) / counts.reshape(shape)
    return _panel(caption, (ZERO + np.ceil(127 * kept)).astype(np.uint8))


def pixels_read(caption: str, weight: Array) -> Panel | None:
    """For a layer over square images, how many outputs still read each pixel, beside the most read one."""
    images = as_images(weight) if weight.ndim == 2 else None
    if images is None:
        return None
    read = np.count_nonzero(images, axis=0)
    return _panel(caption, (ZERO + np.ceil(127 * read / max(read.max(), 1))).astype(np.uint8))


def weights_of(model: Module) -> Mapping[str, Array]:
    """The weights that pruning is about, by the paths of their layers."""
    return {path: layer.weight.data for path, layer in prunable(model).items()}  # type: ignore[attr-defined]


def _panel(caption: str, cells: Array) -> Panel:
    height, width = cells.shape
    return Panel(caption, height, width, cells.tobytes().hex())


# ---------------------------------------------------------------- of models


def filters(before: Module, pruned: Module, zeros: str, half: Shrunk) -> Iterator[Picture]:
    """What the first layer looks for, where that is an image: as it was, with zeros, and what half keeps."""
    weights, fewer = weights_of(before), weights_of(half.model)
    path = next(iter(weights))
    images = as_images(weights[path])
    if images is None:
        return
    left, smaller = as_images(weights_of(pruned)[path]), as_images(fewer[path])
    group = next(row for row in half.report.groups if path in (row.name, *row.layers))
    assert left is not None, "pruning keeps shapes"
    assert smaller is not None, "inputs of a model stay"
    largest = float(np.percentile(np.abs(images), 99.5))
    shown = some(len(images))
    stay = {number: place for place, number in enumerate(group.kept)}
    panels: list[Panel | None] = [
        tiles("float32", images, shown, largest),
        tiles(f"{zeros} of zeros", left, shown, largest),
        tiles("half the channels", smaller, [stay.get(number) for number in shown], largest),
        pixels_read(f"pixels still read at {zeros}", weights_of(pruned)[path]),
    ]
    gone = float((left == 0).mean())
    note = (
        f"{len(shown)} of {len(images)} outputs, as images of what they multiply their inputs by: blue above "
        "0, orange below, blank for zeros, grey for outputs that are gone. Of this layer "
        f"{words.percent(gone)} is zero at {zeros} of all weights."
    )
    yield Picture(f"Weights of {path}", note, tuple(panel for panel in panels if panel is not None))


def maps(title: str, models: Mapping[str, Module]) -> Picture:
    """Where the zeros of some layers are, in each of these models."""
    panels = []
    paths = list(weights_of(next(iter(models.values()))))
    for place in np.unique(np.linspace(0, len(paths) - 1, min(SHOWN, len(paths))).round().astype(int)):
        for word, model in models.items():
            w = weights_of(model)[paths[place]]
            told = f"{paths[place]}, {word}: {words.percent(float((w == 0).mean()))} zeros"
            panels.append(zero_map(told, w))
    note = "Outputs downwards, inputs across, many in a cell: the bluer, the more weights are left there."
    return Picture(title, note, tuple(panels))

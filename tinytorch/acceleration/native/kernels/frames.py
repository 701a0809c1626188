"""Frames: images with zeros around their pixels and perhaps between them, channels side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinytorch.acceleration.native.emit import Emitter
from tinytorch.acceleration.native.kernels.kernel import load_run, store_run
from tinytorch.acceleration.native.kernels.lookup import along, fill
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.values import Pointer, Value, lanes_of
from tinytorch.ops.spec import DType
from tinytorch.ops.window import Pair

CHANNELS_LAST = (0, 2, 3, 1)
"""The axes of (n, c, h, w) from the slowest to the fastest."""


@dataclass(frozen=True)
class Windows:
    """How windows lie on a frame: an image with zeros around it, and between its pixels if spaced.

    size: (height, width) of the frame; origin: where the image's first pixel lies in it, perhaps outside.
    """

    size: Pair
    origin: Pair
    spacing: Pair
    kernel: Pair
    stride: Pair
    dilation: Pair
    groups: int

    def is_plain(self, image: Pair) -> bool:
        """Whether the frame is the image itself."""
        return self.size == image and self.origin == (0, 0) and self.spacing == (1, 1)

    def text(self, image: str, size: Pair) -> str:
        """The frame of an image (channels, *size) in Python."""
        return image if self.is_plain(size) else f"frame({image}, {self.size}, {self.origin}, {self.spacing})"

    def pixel(self) -> str:
        """Row and column of a frame's pixel under (i, j) of the window at (y, x), in Python."""
        names = zip(("y", "x"), self.stride, ("i", "j"), self.dilation, strict=True)
        return ", ".join(f"{_times(a, m)} + {_times(b, n)}" for a, m, b, n in names)


def _times(name: str, factor: int) -> str:
    return name if factor == 1 else f"{name} * {factor}"


class Frame:
    """A frame in memory, pixel by pixel, channels side by side; `dtype` is that of the image if not given."""

    def __init__(self, windows: Windows, place: Place, dtype: DType | None = None) -> None:
        self.windows, self.place, self.dtype = windows, place, dtype or place.dtype
        self.channels, *image = place.shape[1:]
        self.image = (image[0], image[1])
        beside = place.strides[1] == 1 or self.channels == 1
        pixel = place.strides[3] == self.channels or self.image[1] == 1
        plain = self.dtype == place.dtype and windows.is_plain(self.image)
        self.direct = plain and beside and pixel and place.strides[2] == image[1] * self.channels
        self.row = windows.size[1] * self.channels
        self.nbytes = 0 if self.direct else windows.size[0] * self.row * self.dtype.itemsize
        self.clear = not windows.is_plain(self.image)

    def begin(self, e: Emitter, room: Pointer) -> None:
        """Write the zeros, once for all images."""
        if self.nbytes and self.clear:
            fill(e, room, self.windows.size[0] * self.row, 0)

    def load(self, e: Emitter, image: Pointer, room: Pointer) -> Pointer:
        """Where the frame of an image is: its pixels are copied, unless they lie right already."""
        if self.direct:
            return image
        c, (h, w) = self.channels, self.image
        _, s_c, s_h, s_w = self.place.strides
        (top, left), (down, right) = self.windows.origin, self.windows.spacing
        first_y, first_x = -(min(top, 0) // down), -(min(left, 0) // right)  # those before lie outside
        last_y = min(h, -(-(self.windows.size[0] - top) // down))
        last_x = min(w, -(-(self.windows.size[1] - left) // right))
        lanes = lanes_of(room.dtype)
        with e.loop(last_y - first_y) as y:
            line = room + ((y.index + first_y) * down + top) * self.row
            source = image + (y.index + first_y) * s_h
            if s_c == 1 and s_w == c and right == 1:  # a row is one run
                begin, run = first_x * c, (last_x - first_x) * c
                target = line + (left + first_x) * c
                _move(e, source + begin, target, run)
            elif c == 1 or s_c != 1:
                with e.loop(c) as channel:
                    from_, to = source + channel.index * s_c, line + channel.index

                    def move(at: Value, _: int, n: int) -> None:
                        value = load_run(from_ + (at + first_x) * s_w, s_w, lanes, n)
                        goal = to + ((at + first_x) * right + left) * c
                        store_run(goal, e.convert(value, room.dtype), right * c, n)

                    along(e, last_x - first_x, lanes, move)
            else:
                with e.loop(last_x - first_x) as x:
                    from_ = source + (x.index + first_x) * s_w
                    to = line + ((x.index + first_x) * right + left) * c
                    _move(e, from_, to, c)
        return room


def _move(e: Emitter, source: Pointer, target: Pointer, n: int) -> None:
    """Copy a run of elements, as the dtype of where they go."""
    lanes = lanes_of(target.dtype)
    along(
        e,
        n,
        lanes,
        lambda at, _, count: (target + at).store(
            e.convert((source + at).load(lanes, count), target.dtype), count
        ),
    )


def filter_width(outputs: int, dtype: Any) -> int:
    """How many filters are handled beside each other."""
    lanes = lanes_of(dtype)
    return lanes if outputs <= lanes else 2 * lanes

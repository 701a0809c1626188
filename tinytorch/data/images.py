"""Labelled images: pixels kept as bytes, given out as float32 in [0, 1]."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tinytorch.data.dataset import Dataset, Indices
from tinytorch.errors import DataError, ShapeError


class ImageSet(Dataset):
    """Images (count, channels, height, width) with labels (count,) from 0 to len(classes) - 1.

    Pixels stay uint8, a quarter of the memory; samples and batches are float32 in [0, 1] and int64.
    Raises ShapeError or DataError for images and labels that do not belong together.

    >>> pixels = np.full((2, 1, 1, 1), 255, dtype=np.uint8)
    >>> x, y = ImageSet("dots", "train", pixels, np.array([0, 1]), ["off", "on"]).batch([1])
    >>> x.ravel().tolist(), y.tolist()
    ([1.0], [1])
    """

    def __init__(
        self,
        name: str,
        split: str,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.integer],
        classes: Sequence[str],
        white: int = 255,
    ) -> None:
        if pixels.ndim != 4 or labels.shape != pixels.shape[:1]:
            raise ShapeError(
                f"{name}: images {pixels.shape} and labels {labels.shape} do not belong together; "
                "expected (count, channels, height, width) and (count,)"
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            wrong = labels[(labels < 0) | (labels >= len(classes))][0]
            raise DataError(
                f"{name}: label {wrong} is outside 0 to {len(classes) - 1}; is it the right file?"
            )
        if pixels.size and pixels.max() > white:
            raise DataError(
                f"{name}: a pixel is {pixels.max()}, above white ({white}); is it the right file?"
            )
        self.name = name
        self.split = split
        self.pixels = pixels
        self.labels = labels.astype(np.int64)
        self.classes = tuple(classes)
        self.white = white

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], np.int64]:
        return self._scaled(self.pixels[index]), self.labels[index]

    def batch(self, indices: Indices) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return (images, labels) at the indices; shapes (n, channels, height, width) and (n,)."""
        at = np.asarray(indices, dtype=np.int64)
        return self._scaled(self.pixels[at]), self.labels[at]

    @cached_property
    def images(self) -> NDArray[np.float32]:
        """All images as float32 in [0, 1]; made, and kept, when first asked for."""
        return self._scaled(self.pixels)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one image: (channels, height, width)."""
        return self.pixels.shape[1:]

    def _scaled(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return pixels.astype(np.float32) / np.float32(self.white)

    def __repr__(self) -> str:
        images = f"{len(self)} images {self.sample_shape}"
        return f"ImageSet({self.name}, {self.split}: {images}, {len(self.classes)} classes)"

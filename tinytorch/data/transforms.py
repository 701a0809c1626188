"""Random and fixed changes to whole batches of images, drawn from a generator that the loader keys."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinytorch.data.dataset import Array, Batch
from tinytorch.errors import DataError, DTypeError, ShapeError

Transform = Callable[[Batch, np.random.Generator], Batch]


def normalize(mean: float | Sequence[float], std: float | Sequence[float]) -> Transform:
    """Return a transform to (x - mean) / std; each a number, or one for each channel.

    A transform takes a batch, whose first field are the images, and a generator that it need not use, and
    returns a batch of new images and the other fields as they were. Images are (batch, channels, height,
    width) of a float dtype, which is kept; `_images("normalize", batch)` gives them, or raises ShapeError. At
    once raises DataError for a std that is not above 0 or a mean or std of more than one axis; when called
    DTypeError for integer images, ShapeError when the channels do not fit.

    >>> rng = np.random.default_rng(0)
    >>> normalize(0.5, 0.25)((np.ones((1, 1, 2, 2), dtype=np.float32),), rng)[0].ravel().tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    means, stds = np.atleast_1d(np.asarray(mean)), np.atleast_1d(np.asarray(std))
    if means.ndim != 1 or stds.ndim != 1 or not np.all(stds > 0):
        raise DataError(f"normalize: mean {mean} and std {std} must be one number a channel, std above 0")

    def apply(batch: Batch, _rng: np.random.Generator) -> Batch:
        images = _images("normalize", batch)
        if not np.issubdtype(images.dtype, np.floating):
            raise DTypeError(f"normalize: images are {images.dtype}; convert them to float32 in [0, 1] first")
        if not {len(means), len(stds)} <= {1, images.shape[1]}:
            raise ShapeError(
                f"normalize: {len(means)} means and {len(stds)} stds for images {images.shape}; "
                f"give 1 or {images.shape[1]} of each"
            )
        shift = means.astype(images.dtype)[:, None, None]
        scale = stds.astype(images.dtype)[:, None, None]
        return ((images - shift) / scale, *batch[1:])

    return apply


def random_crop(padding: int) -> Transform:
    """Return a transform that shifts each image by up to `padding` pixels each way; zeros come in.

    Each image has a shift of its own, the same for all channels: down and across are whole numbers from
    -padding to padding, all equally likely, drawn from the generator that the transform is called with. The
    result has the shape and dtype of the images, (batch, channels, height, width), and memory of its own;
    further fields stay as they are. Raises DataError for a negative padding.

    >>> x = np.ones((4, 1, 3, 3), dtype=np.float32)
    >>> random_crop(1)((x,), np.random.default_rng(0))[0].shape
    (4, 1, 3, 3)
    """
    if padding < 0:
        raise DataError(f"random_crop: padding is {padding} pixels; it must be 0 or more")

    def apply(batch: Batch, rng: np.random.Generator) -> Batch:
        images = _images("random_crop", batch)
        height, width = images.shape[2:]
        padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        windows = sliding_window_view(padded, (height, width), axis=(2, 3))
        down, right = rng.integers(0, 2 * padding + 1, size=(2, len(images)))
        return (windows[np.arange(len(images)), :, down, right], *batch[1:])

    return apply


def random_flip(probability: float = 0.5) -> Transform:
    """Return a transform that mirrors each image left to right with the given probability.

    Each image is decided upon by itself, by the generator that the transform is called with. The result has
    the shape and dtype of the images, (batch, channels, height, width), and memory of its own; further fields
    stay as they are. Raises DataError for a probability outside 0 to 1.

    >>> x = np.arange(3.0).reshape(1, 1, 1, 3)
    >>> random_flip(1.0)((x,), np.random.default_rng(0))[0].ravel().tolist()
    [2.0, 1.0, 0.0]
    """
    if not 0 <= probability <= 1:
        raise DataError(f"random_flip: probability is {probability}; it must be from 0 to 1")

    def apply(batch: Batch, rng: np.random.Generator) -> Batch:
        images = _images("random_flip", batch)
        flip = rng.random(len(images)) < probability
        return (np.where(flip[:, None, None, None], images[..., ::-1], images), *batch[1:])

    return apply


def compose(*transforms: Transform) -> Transform:
    """Return the transform that applies the given ones in turn, all drawing from the same generator.

    >>> x = np.full((1, 1, 1, 2), 2.0)
    >>> compose(random_flip(), normalize(1, 1))((x,), np.random.default_rng(0))[0].ravel().tolist()
    [1.0, 1.0]
    """

    def apply(batch: Batch, rng: np.random.Generator) -> Batch:
        for transform in transforms:
            batch = transform(batch, rng)
        return batch

    return apply


def _images(name: str, batch: Batch) -> Array:
    if not batch or batch[0].ndim != 4:
        found = batch[0].shape if batch else "nothing"
        raise ShapeError(f"{name}: first field is {found}, not images (batch, channels, height, width)")
    return batch[0]

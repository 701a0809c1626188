"""What layers on codes give, written a second time in float64, and small models and batches to quantize."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch import Tensor, no_grad
from tinytorch.models import CNN, GPT, MLP
from tinytorch.nn import Module
from tinytorch.quantization.calibrate import Seen, calibrate, quantizable
from tinytorch.random import Generator
from tinytorch.tensor import from_numpy

Array = np.ndarray[Any, Any]


def normal(seed: int, *shape: int, scale: float = 1.0, mean: float = 0.0) -> Tensor:
    """A tensor of normally distributed numbers."""
    rng = np.random.default_rng(seed)
    return from_numpy((rng.standard_normal(shape) * scale + mean).astype(np.float32))


def mlp(*sizes: int) -> MLP:
    model = MLP(sizes or (16, 24, 5), generator=Generator(1))
    model.eval()
    return model


def cnn() -> CNN:
    model = CNN(num_classes=5, image_size=4, generator=Generator(2))
    model.eval()
    return model


def gpt() -> GPT:
    model = GPT(vocab_size=11, context=8, width=16, layers=1, heads=2, generator=Generator(3))
    model.eval()
    return model


def ids(seed: int, *shape: int, below: int = 11) -> Tensor:
    return from_numpy(np.random.default_rng(seed).integers(0, below, shape))


def seen_by(layer: Module, *batches: Tensor, gram: bool = False) -> Seen:
    """What calibration keeps of the inputs of a layer that is a whole model, or the only one of it."""
    (found,) = calibrate(layer, [(x,) for x in batches], quantizable(layer), gram=gram).values()
    return found


def run(module: Module, x: Tensor) -> Array:
    with no_grad():
        found: Array = module(x).data
    return found


# ---------------------------------------------------------------- codes and what they stand for


def rows_in_codes(x: Array) -> Array:
    """What is left of x: (..., k) when each row becomes codes by its largest number; float64."""
    largest = np.abs(x).max(-1, keepdims=True)
    scale = np.where(largest > 0, largest / np.float32(127), np.float32(1))
    return np.rint(x / scale).astype(np.float64) * scale


def images_in_codes(x: Array) -> Array:
    """The same for images, each by its own largest number."""
    return rows_in_codes(x.reshape(len(x), -1)).reshape(x.shape)


def range_in_codes(x: Array, scale: Any, zero: int = 0, low: int = -127, high: int = 127) -> Array:
    """What is left of x when a scale and a zero point make codes of it; float64."""
    codes = np.clip(np.rint(x / np.float32(scale)) + zero, low, high).astype(np.float64)
    return (codes - zero) * float(scale)


def weight_in_codes(w: Array, per: str = "channel") -> Array:
    """What is left of a weight (outputs, ...) in int8, a scale for each output or for all; float64."""
    axes = tuple(range(1, w.ndim)) if per == "channel" else None
    scale = np.abs(w).max(axes, keepdims=True) / np.float32(127)
    scale = np.where(scale > 0, scale, np.float32(1))
    return np.clip(np.rint(w / scale), -127, 127).astype(np.float64) * scale


def correlated(x: Array, w: Array, geometry: tuple[Any, Any, Any, int]) -> Array:
    """x: (n, c, h, w) correlated with filters w: (o, c / groups, kh, kw), padding 0.0; in float64."""
    (sh, sw), (ph, pw), (dh, dw), groups = geometry
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    (n, _, height, width), (o, c, kh, kw) = x.shape, w.shape
    oh, ow = (height - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((n, o, oh, ow))
    for q in range(o):
        part = x[:, q // (o // groups) * c :][:, :c]
        for i, j in np.ndindex(kh, kw):
            window = part[:, :, i * dh :: sh, j * dw :: sw][:, :, :oh, :ow]
            out[:, q] += np.einsum("ncyx,c->nyx", window, w[q, :, i, j].astype(np.float64))
    return out


def close(found: Array, expected: Array, share: float = 1e-5) -> None:
    """Equal up to a share of the largest number."""
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    assert np.abs(found - expected).max(initial=0.0) <= share * max(1e-30, np.abs(expected).max(initial=0.0))

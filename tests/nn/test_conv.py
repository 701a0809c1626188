"""Image layers against NumPy windows, and both modes of batch norm."""

import numpy as np
import pytest

from tinytorch import Tensor, nn
from tinytorch.errors import ShapeError
from tinytorch.random import Generator

RNG = np.random.default_rng(3)


def windows(x: np.ndarray, size: int, step: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::step, ::step]


def test_conv_and_pools_hand_their_settings_on() -> None:
    x = RNG.standard_normal((2, 4, 9, 9))
    layer = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, generator=Generator(1)).to("float64")
    seen = windows(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), 3, 2).reshape(2, 2, 2, 5, 5, 3, 3)
    weight = layer.weight.data.reshape(2, 3, 2, 3, 3)
    expected = np.einsum("ngchwij,gocij->ngohw", seen, weight).reshape(2, 6, 5, 5)
    expected += layer.bias.data[:, None, None]
    assert np.allclose(layer(Tensor(x)).data, expected, rtol=1e-10)
    assert np.allclose(nn.MaxPool2d(3, 2)(Tensor(x)).data, windows(x, 3, 2).max((-1, -2)))
    assert np.allclose(nn.AvgPool2d(3)(Tensor(x)).data, windows(x, 3, 3).mean((-1, -2)))
    assert nn.Conv2d(4, 2, (1, 3), dilation=(1, 2), bias=False)(Tensor(x.astype(np.float32))).shape == (
        2,
        2,
        9,
        5,
    )


def test_conv_groups_must_divide() -> None:
    with pytest.raises(ShapeError, match="3 groups"):
        nn.Conv2d(4, 6, 3, groups=3)


def test_repr_of_image_layers() -> None:
    assert repr(nn.Conv2d(1, 2, 3, padding=1, bias=False)) == (
        "Conv2d(1, 2, kernel_size=(3, 3), padding=(1, 1), bias=False), weight (2, 1, 3, 3), 18 parameters"
    )
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d((2, 2), stride=(2, 2), padding=(0, 0))"


def test_batch_norm_trains_on_the_batch_and_evaluates_on_running_statistics() -> None:
    layer = nn.BatchNorm2d(3, momentum=0.25).to("float64")
    x = RNG.standard_normal((4, 3, 5, 5)) * 2 + 1
    axes = (0, 2, 3)
    mean, var, unbiased = x.mean(axes), x.var(axes), x.var(axes, ddof=1)
    out = layer(Tensor(x)).data
    assert np.allclose(out, (x - mean[:, None, None]) / np.sqrt(var + 1e-5)[:, None, None], rtol=1e-9)
    assert np.allclose(layer.running_mean.data, 0.25 * mean)
    assert np.allclose(layer.running_var.data, 0.75 + 0.25 * unbiased)
    assert layer.num_batches_tracked.item() == 1
    layer.eval()
    held = {name: t.numpy() for name, t in layer.named_buffers()}
    running = (x - held["running_mean"][:, None, None]) / np.sqrt(held["running_var"] + 1e-5)[:, None, None]
    assert np.allclose(layer(Tensor(x)).data, running, rtol=1e-9)
    assert all(np.array_equal(held[name], t.data) for name, t in layer.named_buffers())


def test_a_batch_that_does_not_fit_leaves_batch_norm_as_it_was() -> None:
    layer = nn.BatchNorm2d(3)
    with pytest.raises(ShapeError):
        layer(Tensor(np.ones((2, 4, 5, 5), np.float32)))
    assert layer.num_batches_tracked.item() == 0

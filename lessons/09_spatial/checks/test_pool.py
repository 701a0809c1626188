"""Pooling against a walk over one pixel at a time."""

import numpy as np
import pytest
from helpers import pooled, scattered

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.pool import AvgPool2d, MaxPool2d, MaxPool2dGrad, max_pool2d
from tinytorch.tensor import Tensor

# kernel, stride, padding, shape of the images
GEOMETRIES = {
    "tiles": ((2, 2), (2, 2), (0, 0), (2, 3, 4, 6)),
    "leftover rows": ((2, 2), (2, 2), (0, 0), (1, 2, 5, 3)),
    "overlap": ((3, 2), (1, 1), (0, 0), (2, 2, 4, 5)),
    "padding": ((3, 3), (2, 2), (1, 1), (2, 2, 5, 6)),
    "uneven": ((3, 2), (1, 3), (0, 1), (1, 2, 5, 7)),
    "gaps": ((1, 2), (2, 3), (0, 0), (2, 1, 5, 8)),
}


@exercise("MaxPool2d.forward")
def test_the_largest_by_hand():
    x = np.array([[[[1.0, -2.0, 3.0, 3.0], [-5.0, 0.0, 3.0, 2.0]]]])
    want = np.array([[[[1.0, 3.0]]]]), np.array([[[[0, 0]]]])
    expect.close("MaxPool2d((2, 2), (2, 2)).forward(x)", want)


@exercise("MaxPool2d.forward")
@pytest.mark.parametrize("name", GEOMETRIES)
def test_largest_and_where(rng, name):
    kernel, stride, padding, shape = GEOMETRIES[name]
    x = rng.normal(size=shape) - 3  # all but surely negative: a border of zeros would win
    want = pooled(x, kernel, stride, padding)[:2]
    expect.close("MaxPool2d(kernel, stride, padding).forward(x)", want)


@exercise("MaxPool2d.forward")
def test_the_first_of_equal_ones(rng):
    kernel, stride, padding, shape = GEOMETRIES["padding"]
    x = rng.integers(-2, 1, size=shape).astype(np.float32)
    want = pooled(x, kernel, stride, padding)[:2]
    expect.close("MaxPool2d(kernel, stride, padding).forward(x)", want)
    expect.close("MaxPool2d(kernel, stride, padding).forward(x)[0]", want[0], dtype=np.float32)


@exercise("MaxPool2d.forward")
def test_padding_never_wins_even_against_minus_infinity():
    x = np.full((1, 1, 2, 2), -np.inf)
    want = np.full((1, 1, 2, 2), -np.inf), np.array([[[[3, 2], [1, 0]]]])
    expect.close("MaxPool2d((2, 2), (2, 2), (1, 1)).forward(x)", want)


@exercise("MaxPool2d.forward")
def test_nan_is_passed_on():
    x = np.array([[[[1.0, np.nan, 7.0, 2.0], [3.0, 0.0, 9.0, 8.0], [np.nan, 4.0, 1.0, 5.0], [9.0] * 4]]])
    want = np.array([[[[np.nan, 9.0], [np.nan, 9.0]]]]), np.array([[[[1, 2], [0, 2]]]])
    expect.close("MaxPool2d((2, 2), (2, 2)).forward(x)", want)


@exercise("MaxPool2d.forward")
def test_the_dtype_of_positions():
    x = np.arange(13 * 13, dtype=np.float64).reshape(1, 1, 13, 13)
    expect.close("MaxPool2d((13, 13), (1, 1)).forward(x)[0]", np.full((1, 1, 1, 1), 168.0))
    expect.close("MaxPool2d((13, 13), (1, 1)).forward(x)[1]", np.full((1, 1, 1, 1), 168), dtype=np.int32)
    expect.close("MaxPool2d((2, 2), (2, 2)).forward(x)[1]", np.full((1, 1, 6, 6), 3), dtype=np.int8)


@exercise("MaxPool2d.forward")
def test_no_images_to_pool():
    x = np.zeros((0, 2, 4, 4))
    expect.close("MaxPool2d((2, 2), (2, 2)).forward(x)", (np.zeros((0, 2, 2, 2)), np.zeros((0, 2, 2, 2))))


@exercise("MaxPool2dGrad.forward")
@pytest.mark.parametrize("name", GEOMETRIES)
def test_gradient_goes_to_the_largest(rng, name):
    kernel, stride, padding, shape = GEOMETRIES[name]
    x = rng.integers(-3, 3, size=shape).astype(np.float64)
    _, index, _ = pooled(x, kernel, stride, padding)
    g, size, index = rng.normal(size=index.shape), shape[2:], index.astype(np.int8)
    want = scattered(g, index, size, kernel, stride, padding)
    expect.close("MaxPool2dGrad(kernel, stride, padding, size).forward(g, index)", want)


@exercise("MaxPool2dGrad.forward")
def test_gradients_add_up_where_windows_overlap():
    g = np.array([[[[1.0, 10.0], [100.0, 1000.0]]]], np.float32)
    index = np.array([[[[3, 2], [1, 0]]]], np.int8)
    want = np.array([[[[0, 0, 0], [0, 1111.0, 0], [0, 0, 0]]]])
    before = g.copy()
    expect.close("MaxPool2dGrad((2, 2), (1, 1), (0, 0), (3, 3)).forward(g, index)", want, dtype=np.float32)
    expect.true("np.array_equal(g, before)", "g is left as it was")


@exercise("MaxPool2dGrad.forward")
def test_an_infinite_gradient_stays_in_its_place():
    g, index = np.array([[[[np.inf, 2.0]]]]), np.array([[[[1, 2]]]], np.int8)
    want = np.array([[[[0, np.inf, 0, 0], [0, 0, 2.0, 0]]]])
    expect.close("MaxPool2dGrad((2, 2), (2, 2), (0, 0), (2, 4)).forward(g, index)", want)


@exercise("MaxPool2d.forward", "MaxPool2dGrad.forward")
def test_backward_through_a_pool(rng):
    x = Tensor(rng.permutation(30).reshape(1, 1, 5, 6) * 1.0)
    x.requires_grad_()
    (max_pool2d(x, 3, stride=2, padding=1) * 2.0).sum().backward()
    _, index, _ = pooled(x.numpy(), (3, 3), (2, 2), (1, 1))
    want = scattered(np.full(index.shape, 2.0), index, (5, 6), (3, 3), (2, 2), (1, 1))
    expect.close("x.grad", want)


@exercise("AvgPool2d.forward")
@pytest.mark.parametrize("name", GEOMETRIES)
def test_mean_of_each_window(rng, name):
    kernel, stride, padding, shape = GEOMETRIES[name]
    x = rng.normal(size=shape)
    _, _, mean = pooled(x, kernel, stride, padding)
    expect.close("AvgPool2d(kernel, stride, padding).forward(x)", mean)


@exercise("AvgPool2d.forward")
def test_mean_keeps_the_dtype_and_the_input(rng):
    x = rng.normal(size=(2, 2, 4, 4)).astype(np.float32)
    before = x.copy()
    _, _, mean = pooled(x, (2, 2), (2, 2), (0, 0))
    expect.close("AvgPool2d((2, 2), (2, 2)).forward(x)", mean, dtype=np.float32)
    expect.true("np.array_equal(x, before)", "x is left as it was")
    none = x[:0]
    expect.close("AvgPool2d((2, 2), (2, 2)).forward(none)", np.zeros((0, 2, 2, 2)))
    same = x.astype(np.float64)
    expect.close("AvgPool2d((1, 1), (1, 1)).forward(same)", same)
    expect.true("not np.shares_memory(AvgPool2d((1, 1), (1, 1)).forward(x), x)", "the result is a new array")

"""Convolution, its work, and its gradients, against a sum over one pixel and one weight at a time."""

import numpy as np
import pytest
from helpers import Correlation, counts, spec

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.conv import Conv2d, Conv2dInputGrad, Conv2dWeightGrad, conv2d
from tinytorch.tensor import Tensor

# stride, padding, dilation, groups, batch, channels in, channels out, image, kernel
GEOMETRIES = {
    "plain": ((1, 1), (0, 0), (1, 1), 1, 2, 3, 4, (5, 6), (3, 2)),
    "padding": ((1, 1), (1, 2), (1, 1), 1, 2, 2, 3, (4, 3), (3, 3)),
    "stride": ((2, 3), (0, 0), (1, 1), 1, 1, 2, 3, (6, 8), (2, 3)),
    "dilation": ((1, 1), (0, 1), (2, 3), 1, 2, 2, 3, (6, 7), (3, 2)),
    "groups": ((1, 1), (0, 0), (1, 1), 2, 2, 4, 6, (3, 4), (2, 2)),
    "depthwise": ((1, 1), (1, 1), (1, 1), 3, 2, 3, 3, (4, 4), (3, 3)),
    "all at once": ((2, 1), (1, 2), (1, 2), 2, 3, 4, 2, (5, 6), (2, 3)),
    "one by one": ((1, 1), (0, 0), (1, 1), 1, 2, 3, 5, (3, 2), (1, 1)),
}


def problem(rng, name, dtype=np.float64):
    """The fields of the op, an input, a weight, a bias and a gradient of the result."""
    *geometry, groups, n, c, o, image, kernel = GEOMETRIES[name]
    x, w, b = rng.normal(size=(n, c, *image)), rng.normal(size=(o, c // groups, *kernel)), rng.normal(size=o)
    g = rng.normal(size=(n, o, *counts(image, kernel, *geometry)))
    return (*geometry, groups), *(a.astype(dtype) for a in (x, w, b, g))


# ---------------------------------------------------------------- forward


@exercise("Conv2d.forward")
def test_an_edge_by_hand():
    x = np.array([[[[1.0, 1.0, 5.0], [1.0, 1.0, 5.0]]]])
    w = np.array([[[[-1.0, 1.0]]], [[[2.0, 0.0]]]])
    want = np.array([[[[0.0, 4.0], [0.0, 4.0]], [[2.0, 2.0], [2.0, 2.0]]]])
    expect.close("Conv2d().forward(x, w)", want)


@exercise("Conv2d.forward")
@pytest.mark.parametrize("name", GEOMETRIES)
def test_forward(rng, name):
    (stride, padding, dilation, groups), x, w, b, _ = problem(rng, name)
    want = Correlation(stride, padding, dilation, groups).forward(x, w, b)
    expect.close("Conv2d(stride, padding, dilation, groups).forward(x, w, b)", want)


@exercise("Conv2d.forward")
def test_without_a_bias(rng):
    (stride, padding, dilation, groups), x, w, _, _ = problem(rng, "all at once")
    want = Correlation(stride, padding, dilation, groups).forward(x, w)
    expect.close("Conv2d(stride, padding, dilation, groups).forward(x, w)", want)


@exercise("Conv2d.forward")
def test_single_precision_stays_so(rng):
    (stride, padding, dilation, groups), x, w, b, _ = problem(rng, "groups", np.float32)
    want = Correlation(stride, padding, dilation, groups).forward(x, w, b)
    call = "Conv2d(stride, padding, dilation, groups).forward(x, w, b)"
    expect.close(call, want, rtol=1e-4, atol=1e-4, dtype=np.float32)


@exercise("Conv2d.forward")
def test_input_of_another_memory_order_and_left_as_it_was(rng):
    x, w = rng.normal(size=(5, 4, 3, 2)).transpose(3, 2, 1, 0), rng.normal(size=(2, 3, 2, 2))
    before, weights_before = x.copy(), w.copy()
    want = Correlation((1, 1), (1, 1), (1, 1), 1).forward(x, w)
    expect.close("Conv2d(padding=(1, 1)).forward(x, w)", want)
    expect.true("np.array_equal(x, before)", "x is left as it was")
    expect.true("np.array_equal(w, weights_before)", "w is left as it was")


@exercise("Conv2d.forward")
def test_a_batch_of_none(rng):
    x, w, b = np.zeros((0, 3, 4, 5)), rng.normal(size=(2, 3, 3, 3)), rng.normal(size=2)
    expect.close("Conv2d(padding=(1, 0)).forward(x, w, b)", np.zeros((0, 2, 4, 3)))


@exercise("Conv2d.forward")
def test_as_a_function_on_tensors(rng):
    x, w, b = (Tensor(rng.normal(size=shape)) for shape in [(1, 2, 4, 4), (3, 2, 2, 2), (3,)])
    want = Correlation((2, 2), (1, 1), (1, 1), 1).forward(x.numpy(), w.numpy(), b.numpy())
    expect.close("conv2d(x, w, b, stride=2, padding=1)", want)


# ---------------------------------------------------------------- work


@exercise("Conv2d.flops")
def test_flops_of_published_layers():
    # first layer of ResNet-50: 118,013,952 multiply-adds at 224 x 224 (He et al., 2016, and many tools)
    out, x, w = spec(1, 64, 112, 112), spec(1, 3, 224, 224), spec(64, 3, 7, 7)
    expect.equal("Conv2d((2, 2), (3, 3)).flops(out, x, w)", 2 * 118_013_952)
    # first layer of LeNet-5 (LeCun et al., 1998): 6 maps of 28 x 28, 5 x 5 windows, 122,304 connections,
    # of which 25 of 26 are products, the other the bias
    out, x, w, b = spec(1, 6, 28, 28), spec(1, 1, 32, 32), spec(6, 1, 5, 5), spec(6)
    expect.equal("Conv2d().flops(out, x, w, b)", 122_304 // 26 * (2 * 25 + 1))


@exercise("Conv2d.flops")
def test_flops_with_batch_and_groups():
    out, x, w, b = spec(5, 8, 4, 3), spec(5, 6, 4, 3), spec(8, 3, 3, 1), spec(8)
    op = Conv2d(padding=(1, 0), groups=2)
    expect.equal("op.flops(out, x, w)", 5 * 8 * 4 * 3 * 3 * 3 * 2)
    expect.equal("op.flops(out, x, w, b)", 5 * 8 * 4 * 3 * (3 * 3 * 2 + 1))
    expect.equal("op.flops(out, x, w, None)", 5 * 8 * 4 * 3 * 3 * 3 * 2)
    none = spec(0, 8, 4, 3)
    expect.equal("op.flops(none, x, w, b)", 0)


# ---------------------------------------------------------------- gradients


@exercise("Conv2dWeightGrad.forward")
@pytest.mark.parametrize("name", GEOMETRIES)
def test_weight_gradient(rng, name):
    (stride, padding, dilation, groups), x, w, _, g = problem(rng, name)
    kernel = w.shape[2:]
    want = Correlation(stride, padding, dilation, groups).weight_grad(g, x, kernel)
    expect.close("Conv2dWeightGrad(stride, padding, dilation, groups, kernel).forward(g, x)", want)


@exercise("Conv2dWeightGrad.forward")
def test_the_bias_is_one_more_column(rng):
    (stride, padding, dilation, groups), x, w, _, g = problem(rng, "all at once")
    kernel = w.shape[2:]
    rows = Correlation(stride, padding, dilation, groups).weight_grad(g, x, kernel)
    want = np.concatenate([rows, np.einsum("noyx->o", g)[:, None]], axis=1)
    expect.close("Conv2dWeightGrad(stride, padding, dilation, groups, kernel, True).forward(g, x)", want)


@exercise("Conv2dWeightGrad.forward")
def test_weight_gradient_in_single_precision_and_of_no_images(rng):
    (stride, padding, dilation, groups), x, w, _, g = problem(rng, "stride", np.float32)
    kernel = w.shape[2:]
    call = "Conv2dWeightGrad(stride, padding, dilation, groups, kernel, True).forward(g, x)"
    rows = Correlation(stride, padding, dilation, groups).weight_grad(g, x, kernel)
    want = np.concatenate([rows, np.einsum("noyx->o", g)[:, None]], axis=1)
    expect.close(call, want, rtol=1e-4, atol=1e-4, dtype=np.float32)
    g, x = g[:0], x[:0]
    expect.close(call, np.zeros_like(want))


@exercise("Conv2dWeightGrad.forward")
def test_weight_gradient_of_a_large_image(rng):
    x, g = rng.normal(size=(1, 2, 120, 60)), rng.normal(size=(1, 2, 118, 58))
    seen = np.lib.stride_tricks.sliding_window_view(x, (118, 58), (2, 3))
    want = np.einsum("nqyx,ncuvyx->qcuv", g, seen).reshape(2, -1)
    expect.close("Conv2dWeightGrad(kernel=(3, 3)).forward(g, x)", want)


@exercise("Conv2dInputGrad.forward")
@pytest.mark.parametrize("name", GEOMETRIES)
def test_input_gradient(rng, name):
    (stride, padding, dilation, groups), x, w, _, g = problem(rng, name)
    size = x.shape[2:]
    want = Correlation(stride, padding, dilation, groups).input_grad(g, w, size)
    expect.close("Conv2dInputGrad(stride, padding, dilation, groups, size).forward(g, w)", want)


@exercise("Conv2dInputGrad.forward")
def test_input_gradient_in_single_precision_and_of_no_images(rng):
    (stride, padding, dilation, groups), x, w, _, g = problem(rng, "groups", np.float32)
    size = x.shape[2:]
    call = "Conv2dInputGrad(stride, padding, dilation, groups, size).forward(g, w)"
    want = Correlation(stride, padding, dilation, groups).input_grad(g, w, size)
    expect.close(call, want, rtol=1e-4, atol=1e-4, dtype=np.float32)
    g = g[:0]
    expect.close(call, np.zeros((0, *x.shape[1:])))


@exercise("Conv2dInputGrad.forward")
def test_pixels_that_no_window_covers_get_nothing(rng):
    g, w = rng.normal(size=(1, 2, 2, 2)), rng.normal(size=(2, 3, 1, 1))
    want = np.zeros((1, 3, 4, 5))
    want[:, :, ::2, :4:3] = np.einsum("nqyx,qc->ncyx", g, w[:, :, 0, 0])
    expect.close("Conv2dInputGrad((2, 3), size=(4, 5)).forward(g, w)", want)


@exercise("Conv2d.forward", "Conv2dWeightGrad.forward", "Conv2dInputGrad.forward")
def test_gradients_against_differences(rng):
    x, w, b = rng.normal(size=(2, 2, 4, 5)), rng.normal(size=(4, 1, 3, 2)), rng.normal(size=4)
    expect.gradient("Conv2d((2, 1), (1, 1), (1, 2), 2)", x, w, b)

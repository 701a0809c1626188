"""Rounding as training sees it: what a code keeps of a number, and the gradient that passes."""

import numpy as np
import pytest
from helpers import between, gradients, quiet

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.quantize import FakeQuantize, fake_quantize
from tinytorch.tensor import Tensor

F4, I4 = np.float32, np.int32

# ---------------------------------------------------------------- forward


@exercise("FakeQuantize.forward")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("low", "high", "at"), [(-127, 127, 0), (-7, 7, 0), (-128, 127, -128), (-128, 127, 40), (-8, 7, 7)]
)
def test_numbers_go_to_the_grid(rng, dtype, low, high, at):
    codes = rng.integers(low, high + 1, size=(3, 8))
    scale, zero = np.array(0.037, dtype), np.array(at, I4)
    x = between(rng, codes - at, scale, dtype)
    want = (codes - at) * scale.astype(float)
    expect.close("FakeQuantize(low, high).forward(x, scale, zero)", want, 1e-6, 0, dtype=dtype)


@exercise("FakeQuantize.forward")
def test_the_usual_range_of_codes(rng):
    codes = rng.integers(-127, 128, size=20)
    scale, zero = np.array(0.5, F4), np.array(0, I4)
    x = between(rng, codes, scale)
    expect.close("FakeQuantize().forward(x, scale, zero)", codes / 2, 1e-6, 0, dtype=F4)


@exercise("FakeQuantize.forward")
def test_a_grid_for_each_row(rng):
    zero, scale = np.array([[-100], [0], [27]], I4), np.array([[0.001], [1.0], [300.0]], F4)
    codes = rng.integers(-128, 128, size=(3, 6))
    x = between(rng, codes - zero, scale)
    want = (codes - zero) * scale.astype(float)
    expect.close("FakeQuantize(-128, 127).forward(x, scale, zero)", want, 1e-6, 0, dtype=F4)


@exercise("FakeQuantize.forward")
def test_what_lies_beyond_becomes_the_end_of_the_range():
    x = np.array([-1e30, -9.0, 9.0, 4.3, np.inf, -np.inf], F4)
    scale, zero = np.array(0.5, F4), np.array(3, I4)
    want = [-5.0, -5.0, 2.0, 2.0, 2.0, -5.0]
    expect.close("FakeQuantize(-7, 7).forward(x, scale, zero)", want, 1e-6, 0, dtype=F4)


@exercise("FakeQuantize.forward")
def test_halves_of_a_step():
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5], F4)
    scale, zero, shifted = np.array(1.0, F4), np.array(0, I4), np.array(3, I4)
    expect.close("FakeQuantize().forward(x, scale, zero)", [0, 2, 2, 0, -2], 0, 0, dtype=F4)
    expect.close("FakeQuantize().forward(x, scale, shifted)", [0, 2, 2, 0, -2], 0, 0, dtype=F4)


@exercise("FakeQuantize.forward")
def test_no_number_stays_none():
    x, scale, zero = np.array([np.nan, 1.2], F4), np.array(0.5, F4), np.array(-28, I4)
    expect.close("FakeQuantize(-128, 127).forward(x, scale, zero)", [np.nan, 1.0], 1e-6, 0, dtype=F4)


@exercise("FakeQuantize.forward")
def test_rounding_twice_is_rounding_once(rng):
    x = rng.normal(size=(2, 9)).astype(F4)
    scale, zero, before = np.array(0.3, F4), np.array(2, I4), x.copy()
    once = FakeQuantize(-4, 5).forward(x, scale, zero)
    expect.close("FakeQuantize(-4, 5).forward(once, scale, zero)", once, 1e-6, 0, dtype=F4)
    expect.equal("x", before)


# ---------------------------------------------------------------- vjp


@exercise("FakeQuantize.vjp")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("low", "high", "at"), [(-7, 7, 0), (-127, 127, 0), (-128, 127, -100), (-8, 7, 5)])
def test_gradients_pass_within_the_range(rng, dtype, low, high, at):
    codes = rng.integers(low - 6, high + 7, size=(4, 30))
    scale, zero = np.array(0.03, dtype), np.array(at, I4)
    x, g = between(rng, codes - at, scale, dtype), rng.normal(size=(4, 30)).astype(dtype)
    want = np.where((codes >= low) & (codes <= high), g, 0)
    expect.close("gradients(FakeQuantize(low, high), g, x, scale, zero)[0]", want, 1e-6, 0, dtype=dtype)


@exercise("FakeQuantize.vjp")
def test_the_ends_lie_within():
    x = np.array([-3.75, -3.7501, -3.7, 3.75, 3.7501, 3.7, 0.0, 3.5, -3.5])
    g = np.arange(1.0, 10.0)
    scale, zero = np.array(0.5), np.array(0, I4)
    want = [1, 0, 3, 4, 0, 6, 7, 8, 9]
    expect.close("gradients(FakeQuantize(-7, 7), g, x, scale, zero)[0]", want, 0, 0)


@exercise("FakeQuantize.vjp")
def test_the_ends_move_with_the_zero_point():
    scale, zero = np.array(2.0), np.array(-128, I4)
    x = np.array([-1.0, -1.01, 0.0, 300.0, 511.0, 511.01])
    g = np.array([3.0, 5.0, -2.0, 4.0, 6.0, 7.0])
    want = [3, 0, -2, 4, 6, 0]
    expect.close("gradients(FakeQuantize(-128, 127), g, x, scale, zero)[0]", want, 0, 0)


@exercise("FakeQuantize.vjp")
def test_a_scale_for_each_row(rng):
    codes = rng.integers(-12, 13, size=(3, 20))
    scale, zero = np.array([[0.001], [1.0], [300.0]]), np.array([[2], [0], [-3]], I4)
    x, g = between(rng, codes - zero, scale, np.float64), rng.normal(size=(3, 20))
    want = np.where(np.abs(codes) <= 7, g, 0)
    expect.close("gradients(FakeQuantize(-7, 7), g, x, scale, zero)[0]", want, 1e-9, 0)


@exercise("FakeQuantize.vjp")
def test_the_grid_has_no_gradient(rng):
    x, g = rng.normal(size=(2, 5))
    scale, zero = np.array(0.5), np.array(0, I4)
    expect.equal("len(gradients(FakeQuantize(), g, x, scale, zero))", 3)
    expect.equal("gradients(FakeQuantize(), g, x, scale, zero)[1:]", (None, None))


@exercise("FakeQuantize.forward", "FakeQuantize.vjp")
def test_a_weight_that_is_trained_through_its_codes(rng):
    x = Tensor(rng.normal(size=(2, 3, 4)), requires_grad=True)
    g = rng.normal(size=(2, 3, 4))
    scale, zero = Tensor(np.array(0.5)), Tensor(np.array(0, I4))
    (fake_quantize(x, scale, zero, -2, 2) * Tensor(g)).sum().backward()
    got, want = x.grad.numpy(), np.where(np.abs(x.numpy()) <= 1.25, g, 0)
    expect.close("got", want, 1e-9, 0, got=got)


@exercise("FakeQuantize.forward", "FakeQuantize.vjp")
def test_training_finds_a_number_of_the_grid():
    scale, zero, found = Tensor(np.array(0.25)), Tensor(np.array(0, I4)), 0.0
    w = Tensor(np.array([-0.9, 0.3, 1.6]), requires_grad=True)
    goal = Tensor(np.array([0.5, -0.75, 1.0]))
    for _ in range(60):
        w.grad = None
        ((fake_quantize(w, scale, zero) - goal) ** 2).sum().backward()
        w = Tensor(w.numpy() - 0.1 * w.grad.numpy(), requires_grad=True)
    found = fake_quantize(w, scale, zero).numpy()
    expect.close("found", [0.5, -0.75, 1.0], 1e-9, 1e-9, found=found)

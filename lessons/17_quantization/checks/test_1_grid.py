"""Grids: scales and zero points, numbers as codes, and codes as numbers again."""

import numpy as np
import pytest
from helpers import between, quiet, whole

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.quantize import TINY, Quantize, quantize
from tinytorch.quantization.grid import (
    affine_grid,
    channel_scales,
    codes_of,
    numbers_of,
    symmetric_scale,
)
from tinytorch.tensor import Tensor, from_numpy

F4, I4 = np.float32, np.int32

# ---------------------------------------------------------------- symmetric_scale


@exercise("symmetric_scale")
@pytest.mark.parametrize(("bits", "most"), [(8, 127), (4, 7), (3, 3), (2, 1)])
def test_the_largest_code_stands_for_the_largest_number(rng, bits, most):
    largest = rng.uniform(0.1, 50, size=(2, 3)).astype(F4)
    expect.close("symmetric_scale(largest, bits)", largest.astype(float) / most, 1e-6, 0, dtype=F4)


@exercise("symmetric_scale")
def test_eight_bits_unless_told():
    largest = np.array([12.7, 1.27, 127.0])
    expect.close("symmetric_scale(largest)", [0.1, 0.01, 1.0], 1e-6, 0, dtype=F4)


@exercise("symmetric_scale")
def test_one_number_gives_one_scale(rng):
    largest = np.asarray(rng.uniform(1, 9), F4)
    expect.close("symmetric_scale(largest)", float(largest) / 127, 1e-6, 0, dtype=F4)
    many = rng.uniform(1, 9, size=(2, 1, 2))
    expect.close("symmetric_scale(many, 4)", many / 7, 1e-6, 0, dtype=F4)


@exercise("symmetric_scale")
def test_zeros_have_scale_one():
    largest = np.array([0.0, 1.27, 0.0])
    expect.close("symmetric_scale(largest)", [1.0, 0.01, 1.0], 1e-6, 0, dtype=F4)
    expect.close("symmetric_scale(np.array(0.0), 4)", 1.0, 0, 0, dtype=F4)


@exercise("symmetric_scale")
def test_what_is_tiny_counts_as_zero():
    below = np.array([TINY * (1 - 2**-20), TINY / 2**20, 2**-140], F4)
    expect.close("symmetric_scale(below)", [1.0, 1.0, 1.0], 0, 0, dtype=F4)
    least, small = np.array([TINY], F4), np.array([1e-20, 3.0])
    expect.close("symmetric_scale(least)", [TINY / 127], 1e-6, 0, dtype=F4)
    expect.close("symmetric_scale(small)", [1e-20 / 127, 3 / 127], 1e-6, 0, dtype=F4)


@exercise("symmetric_scale")
def test_what_was_passed_stays(rng):
    largest = np.array([0.0, 2.0], F4)
    expect.value("symmetric_scale(largest)")
    expect.equal("largest", np.array([0.0, 2.0], F4))


# ---------------------------------------------------------------- affine_grid


@exercise("affine_grid")
@pytest.mark.parametrize(
    ("low", "high", "bits", "scale", "zero"),
    [
        (-1.0, 1.55, 8, 0.01, -28),
        (-2.0, 0.55, 8, 0.01, 72),
        (-1.28, 1.27, 8, 0.01, 0),
        (-4.0, 3.5, 4, 0.5, 0),
        (-1.0, 6.5, 4, 0.5, -6),
        (-1.0, 2.0, 2, 1.0, -1),
    ],
)
def test_low_has_the_lowest_code(low, high, bits, scale, zero):
    expect.close("affine_grid(low, high, bits)", (scale, zero), 1e-6, 0)
    expect.close("affine_grid(low, high, bits)[0]", scale, 1e-6, 0, dtype=F4)
    expect.close("affine_grid(low, high, bits)[1]", zero, 0, 0, dtype=I4)


@exercise("affine_grid")
def test_eight_bits_of_any_range(rng):
    for _ in range(20):
        high = float(rng.uniform(0.1, 10))
        steps = int(rng.integers(1, 255)) + float(rng.uniform(-0.4, 0.4))
        low = -high * steps / (255 - steps)  # which lies `steps` steps below 0
        expect.close("affine_grid(low, high)[0]", (high - low) / 255, 1e-6, 0, dtype=F4)
        expect.close("affine_grid(low, high)[1]", whole(steps) - 128, 0, 0, dtype=I4)


@exercise("affine_grid")
@pytest.mark.parametrize(
    ("low", "high", "scale", "zero"),
    [
        (0.0, 25.5, 0.1, -128),
        (-25.5, 0.0, 0.1, 127),
        (5.0, 25.5, 0.1, -128),
        (-25.5, -5.0, 0.1, 127),
        (254.0, 255.0, 1.0, -128),
        (3.0, 3.0, 3 / 255, -128),
        (-3.0, -3.0, 3 / 255, 127),
    ],
)
def test_a_range_on_one_side_is_widened_to_hold_zero(low, high, scale, zero):
    expect.close("affine_grid(low, high)", (scale, zero), 1e-6, 0)


@exercise("affine_grid")
@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (0.0, TINY / 2), (-TINY / 8, TINY / 8)])
def test_a_range_without_width(low, high):
    expect.close("affine_grid(low, high)", (1.0, 0), 0, 0)
    expect.close("affine_grid(low, high, 4)[0]", 1.0, 0, 0, dtype=F4)
    expect.close("affine_grid(low, high, 4)[1]", 0, 0, 0, dtype=I4)


@exercise("affine_grid")
def test_the_narrowest_range_that_counts():
    low, high = 0.0, TINY
    expect.close("affine_grid(low, high)", (TINY / 255, -128), 1e-6, 0)


@exercise("affine_grid")
def test_a_half_goes_to_the_even_code():
    expect.close("affine_grid(-0.5, 254.5)", (1.0, -128), 1e-6, 0)
    expect.close("affine_grid(-1.5, 253.5)", (1.0, -126), 1e-6, 0)
    expect.close("affine_grid(-2.5, 252.5)", (1.0, -126), 1e-6, 0)


# ---------------------------------------------------------------- Quantize.forward


@exercise("Quantize.forward")
def test_codes_are_whole_steps(rng):
    codes = rng.integers(-127, 128, size=(3, 5))
    scale = np.array([0.037], F4)
    x = between(rng, codes, scale)
    expect.close("Quantize().forward(x, scale)", codes, 0, 0, dtype=np.int8)


@exercise("Quantize.forward")
def test_a_scale_for_each_row(rng):
    codes = rng.integers(-127, 128, size=(3, 5))
    scale = np.array([[1e-6], [0.3], [4000.0]], F4)
    x = between(rng, codes, scale)
    expect.close("Quantize().forward(x, scale)", codes, 0, 0, dtype=np.int8)
    wide, scale = x.astype(np.float64), scale.astype(np.float64)
    expect.close("Quantize().forward(wide, scale)", codes, 0, 0, dtype=np.int8)


@exercise("Quantize.forward")
def test_halves_go_to_even_codes():
    x = np.array([0.25, 0.75, 1.25, -0.25, -0.75, -1.25, 1.75, 2.25], F4)
    scale = np.array(0.5, F4)
    expect.close("Quantize().forward(x, scale)", [0, 2, 2, 0, -2, -2, 4, 4], 0, 0, dtype=np.int8)


@exercise("Quantize.forward")
def test_the_zero_point_comes_after_rounding():
    x, scale, zero = np.array([0.5, 1.5, -0.5, -2.5], F4), np.array(1.0, F4), np.array(3, I4)
    expect.close("Quantize(-128, 127).forward(x, scale, zero)", [3, 5, 3, 1], 0, 0, dtype=np.int8)


@exercise("Quantize.forward")
def test_what_lies_beyond_is_cut_off(rng):
    x = np.array([3.0, -3.0, 127.4, 127.9, -127.9, 200.0, -1e30, np.inf, -np.inf], F4)
    scale = np.array(1.0, F4)
    want = [3, -3, 127, 127, -127, 127, -127, 127, -127]
    expect.close("Quantize().forward(x, scale)", want, 0, 0, dtype=np.int8)
    want = [3, -3, 7, 7, -7, 7, -7, 7, -7]
    expect.close("Quantize(-7, 7).forward(x, scale)", want, 0, 0, dtype=np.int8)
    want = [3, -3, 127, 127, -128, 127, -128, 127, -128]
    expect.close("Quantize(-128, 127).forward(x, scale)", want, 0, 0, dtype=np.int8)
    want = [3, 0, 127, 127, 0, 127, 0, 127, 0]
    expect.close("Quantize(0).forward(x, scale)", want, 0, 0, dtype=np.int8)


@exercise("Quantize.forward")
@pytest.mark.parametrize("at", [-128, -100, 0, 19, 127])
def test_codes_with_a_zero_point(rng, at):
    codes = rng.integers(-128, 128, size=(4, 6))
    scale, zero = np.array(0.02, F4), np.array(at, I4)
    x = between(rng, codes - at, 0.02)
    expect.close("Quantize(-128, 127).forward(x, scale, zero)", codes, 0, 0, dtype=np.int8)
    far = np.array([-1000.0, 1000.0, 0.0], F4)
    expect.close("Quantize(-128, 127).forward(far, scale, zero)", [-128, 127, at], 0, 0, dtype=np.int8)


@exercise("Quantize.forward")
def test_a_zero_point_for_each_row(rng):
    zero = np.array([[-128], [5], [127]], I4)
    codes = rng.integers(-128, 128, size=(3, 4))
    scale = np.array([[0.5], [2.0], [0.01]], F4)
    x = between(rng, codes - zero, scale)
    expect.close("Quantize(-128, 127).forward(x, scale, zero)", codes, 0, 0, dtype=np.int8)
    expect.equal("zero", np.array([[-128], [5], [127]], I4))


@exercise("Quantize.forward")
def test_no_number_gets_the_code_of_zero():
    x, scale, zero = np.array([np.nan, 1.0, -1.0], F4), np.array(0.5, F4), np.array(-28, I4)
    expect.close("Quantize().forward(x, scale)", [0, 2, -2], 0, 0, dtype=np.int8)
    expect.close("Quantize(-128, 127).forward(x, scale, zero)", [-28, -26, -30], 0, 0, dtype=np.int8)


@exercise("Quantize.forward")
def test_one_number_and_none(rng):
    number, nothing = np.array(1.0, F4), np.zeros((0, 3), F4)
    scale = np.array(0.5, F4)
    expect.close("Quantize().forward(number, scale)", 2, 0, 0, dtype=np.int8)
    expect.close("Quantize().forward(nothing, scale)", np.zeros((0, 3)), 0, 0, dtype=np.int8)


@exercise("Quantize.forward")
def test_numbers_stay_as_they_are(rng):
    x = rng.normal(size=4).astype(F4)
    scale, zero, before = np.array(0.5, F4), np.array(3, I4), x.copy()
    expect.value("Quantize().forward(x, scale, zero)")
    expect.equal("x", before)
    expect.equal("zero", np.array(3, I4))


@exercise("symmetric_scale", "Quantize.forward")
def test_opposite_numbers_have_opposite_codes(rng):
    x = rng.normal(size=50).astype(F4)
    scale = from_numpy(np.asarray(symmetric_scale(np.abs(x).max())))
    codes = quantize(Tensor(x), scale).numpy()
    expect.close("-quantize(Tensor(-x), scale).numpy()", codes, 0, 0, dtype=np.int8)
    expect.equal("int(np.abs(codes).max())", 127)


# ---------------------------------------------------------------- numbers_of


@exercise("numbers_of")
def test_what_codes_stand_for(rng):
    codes = rng.integers(-128, 128, size=(3, 4)).astype(np.int8)
    scale = np.array(0.03, F4)
    expect.close("numbers_of(codes, scale)", codes.astype(float) * 0.03, 1e-6, 0, dtype=F4)
    row = np.array([[0.5], [1e-5], [30.0]])
    expect.close("numbers_of(codes, row)", codes.astype(float) * row, 1e-6, 0, dtype=F4)


@exercise("numbers_of")
@pytest.mark.parametrize("zero", [-128, -1, 100, 127])
def test_the_zero_point_is_taken_off(rng, zero):
    codes = np.append(rng.integers(-128, 128, size=8), [-128, 127, zero]).astype(np.int8)
    scale, array = np.array(0.25, F4), np.array(zero, I4)
    want = (codes.astype(float) - zero) / 4
    expect.close("numbers_of(codes, scale, zero)", want, 1e-6, 0, dtype=F4)
    expect.close("numbers_of(codes, scale, array)", want, 1e-6, 0, dtype=F4)


@exercise("numbers_of")
def test_a_zero_point_for_each_of_them(rng):
    codes = rng.integers(-128, 128, size=(2, 5)).astype(np.int8)
    scale, zero = np.array([[0.5], [0.125]]), np.array([[-128], [127]], I4)
    before = codes.copy()
    expect.close("numbers_of(codes, scale, zero)", (codes.astype(float) - zero) * scale, 1e-6, 0, dtype=F4)
    expect.equal("codes", before)


@exercise("affine_grid", "Quantize.forward", "numbers_of")
def test_there_and_back_loses_half_a_step_at_most(rng):
    low, high = sorted(rng.uniform(-3, 5, size=2).tolist())
    x = rng.uniform(min(low, 0.0), max(high, 0.0), size=200).astype(F4)
    scale, zero = map(np.asarray, affine_grid(low, high))
    codes = Quantize(-128, 127).forward(x, scale, zero)
    error = np.abs(expect.value("numbers_of(codes, scale, zero)") - x).max()
    expect.true("error <= 1.01 * scale", "no number is off by more than a step", error=error)
    nothing = Quantize(-128, 127).forward(np.zeros(1, F4), scale, zero)
    expect.close("numbers_of(nothing, scale, zero)", [0.0], 0, 0)


# ---------------------------------------------------------------- channel_scales


@exercise("channel_scales")
@pytest.mark.parametrize("shape", [(3, 7), (4, 2, 3, 3), (2, 1), (1, 5), (5, 2, 4)])
def test_a_scale_for_each_output(rng, shape):
    w = rng.normal(size=shape).astype(F4)
    want = [max(abs(float(v)) for v in row.ravel()) / 127 for row in w]
    expect.close("channel_scales(w)", want, 1e-6, 0, dtype=F4)


@exercise("channel_scales")
def test_scales_for_fewer_bits(rng):
    w = rng.normal(size=(3, 4))
    want = [max(map(abs, row)) / 7 for row in w.tolist()]
    expect.close("channel_scales(w, 4)", want, 1e-6, 0, dtype=F4)


@exercise("channel_scales")
def test_the_largest_may_be_negative():
    w = np.array([[0.1, -12.7, 0.3], [1.27, 0.0, -0.2]])
    expect.close("channel_scales(w)", [0.1, 0.01], 1e-6, 0, dtype=F4)


@exercise("channel_scales")
def test_a_channel_of_zeros(rng):
    w = np.array([[0.0, 0.0], [0.0, 2.54]], F4)
    expect.close("channel_scales(w)", [1.0, 0.02], 1e-6, 0, dtype=F4)


@exercise("channel_scales")
def test_small_channels_beside_large_ones_keep_their_digits(rng):
    sizes = 10.0 ** np.array([[3], [-3], [0], [-6]])
    w = (rng.normal(size=(4, 60)) * sizes).astype(F4)
    scales = expect.value("channel_scales(w)")
    codes = codes_of(w, scales[:, None])
    off = np.abs(codes * scales[:, None].astype(float) - w).max(1) / np.abs(w).max(1)
    expect.true("off < 0.005", "each channel keeps its numbers to half a percent of its largest", off=off)

"""What softmax and its logarithm do, along any axis and for any size of number."""

import math

import numpy as np
import pytest

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.softmax import LogSoftmax, Softmax

FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])


def softmax_of(row):
    """Softmax of a few moderate numbers, one power at a time."""
    powers = [math.exp(float(x)) for x in row]
    return [p / sum(powers) for p in powers]


# ---------------------------------------------------------------- softmax


@exercise("Softmax.forward")
@FLOATS
def test_rows_by_hand(rng, dtype):
    a = (3 * rng.normal(size=(4, 5))).astype(dtype)
    before = a.copy()
    expect.close("Softmax(1).forward(a)", np.array([softmax_of(row) for row in a]), 1e-5, 1e-7, dtype=dtype)
    expect.true("(a == before).all()", "Softmax(1).forward(a) does not change a")
    two = np.array([0.0, math.log(3)], dtype)
    expect.close("Softmax(0).forward(two)", [0.25, 0.75], dtype=dtype)


@exercise("Softmax.forward")
def test_any_axis(rng):
    a = rng.normal(size=(2, 3, 4))
    powers = np.exp(a)
    expect.close("Softmax(0).forward(a)", powers / np.einsum("abc->bc", powers), 1e-9, 1e-9)
    expect.close("Softmax(1).forward(a)", powers / np.einsum("abc->ac", powers)[:, None], 1e-9, 1e-9)
    expect.close("Softmax(2).forward(a)", powers / np.einsum("abc->ab", powers)[..., None], 1e-9, 1e-9)
    thin, empty = rng.normal(size=(3, 1)), np.zeros((0, 4))
    expect.close("Softmax(1).forward(thin)", np.ones((3, 1)))
    expect.close("Softmax(1).forward(empty)", np.zeros((0, 4)))


@exercise("Softmax.forward")
@FLOATS
def test_huge_numbers_do_not_overflow(dtype):
    a = np.array([[1000, 1000, 999], [-1000, -1000, -1001], [0, 1e30, -1e30]], dtype)
    two = softmax_of([1, 1, 0])
    expect.close("Softmax(1).forward(a)", np.array([two, two, [0, 1, 0]]), dtype=dtype)
    halves = np.array([300, 300], np.float16)
    expect.close("Softmax(0).forward(halves)", [0.5, 0.5], dtype=np.float16)


@exercise("Softmax.forward")
def test_each_slice_has_its_own_maximum():
    a = np.array([[1000.0, 999.0], [0.0, -1.0], [-1000.0, -1001.0]])
    expect.close("Softmax(1).forward(a)", np.array([softmax_of([1, 0])] * 3))
    expect.close("Softmax(0).forward(a.T)", np.array([softmax_of([1, 0])] * 3).T)


@exercise("Softmax.forward")
def test_minus_infinity_masks():
    a = np.array([[0.0, -np.inf, 0.0], [-np.inf, -np.inf, -np.inf], [-np.inf, 500.0, -np.inf]])
    expect.close("Softmax(1).forward(a)", np.array([[0.5, 0, 0.5], [0, 0, 0], [0, 1, 0]]))
    expect.close("Softmax(0).forward(a.T)", np.array([[0.5, 0, 0.5], [0, 0, 0], [0, 1, 0]]).T)


# ---------------------------------------------------------------- log-softmax


@exercise("LogSoftmax.forward")
@FLOATS
def test_logarithms_by_hand(rng, dtype):
    a = (3 * rng.normal(size=(4, 5))).astype(dtype)
    before = a.copy()
    want = np.log(np.array([softmax_of(row) for row in a]))
    expect.close("LogSoftmax(1).forward(a)", want, 1e-5, 1e-5, dtype=dtype)
    expect.close("LogSoftmax(0).forward(a.T)", want.T, 1e-5, 1e-5, dtype=dtype)
    expect.true("(a == before).all()", "LogSoftmax(1).forward(a) does not change a")


@exercise("LogSoftmax.forward")
def test_the_logarithm_of_any_axis(rng):
    a = rng.normal(size=(2, 3, 4))
    powers = np.exp(a)
    want = np.log(powers / np.einsum("abc->ac", powers)[:, None])
    expect.close("LogSoftmax(1).forward(a)", want, 1e-9, 1e-9)
    empty = np.zeros((0, 4))
    expect.close("LogSoftmax(1).forward(empty)", np.zeros((0, 4)))


@exercise("LogSoftmax.forward")
@FLOATS
def test_finite_where_softmax_is_zero(dtype):
    a = np.array([[0, -500], [1000, 0], [-3000, -3000]], dtype)
    want = np.array([[0, -500], [0, -1000], [-math.log(2), -math.log(2)]])
    expect.close("LogSoftmax(1).forward(a)", want, 1e-3, 1e-3, dtype=dtype)
    masked = np.array([0, -np.inf, 0], dtype)
    expect.close("LogSoftmax(0).forward(masked)", [-math.log(2), -np.inf, -math.log(2)])

"""Products of codes, every digit of them right."""

import numpy as np
import pytest
from helpers import products, quiet

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.integer import LONGEST, IntMatMul, int_matmul
from tinytorch.ops.quantize import quantize_rows
from tinytorch.ops.quantized import linear_int8
from tinytorch.tensor import Tensor

I1, I4 = np.int8, np.int32


@exercise("IntMatMul.forward")
@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (3, 4, 2), (2, 7, 5), (4, 1, 3), (5, 33, 6)])
def test_sums_of_products(rng, m, k, n):
    x, w = rng.integers(-128, 128, (m, k)).astype(I1), rng.integers(-128, 128, (n, k)).astype(I1)
    expect.close("IntMatMul().forward(x, w)", np.array(products(x, w)), 0, 0, dtype=I4)


@exercise("IntMatMul.forward")
def test_one_product_is_no_int8():
    x, w = np.array([[100], [-128], [127]], I1), np.array([[100], [-128]], I1)
    want = [[10000, -12800], [-12800, 16384], [12700, -16256]]
    expect.close("IntMatMul().forward(x, w)", np.array(want), 0, 0, dtype=I4)


@exercise("IntMatMul.forward")
@pytest.mark.parametrize("k", [2, 3, 4, 16, 257])
def test_sums_are_no_int16(k):
    x = np.array([[-128] * k, [127] * k], I1)
    w = x.copy()
    want = [[16384 * k, -16256 * k], [-16256 * k, 16129 * k]]
    expect.close("IntMatMul().forward(x, w)", np.array(want), 0, 0, dtype=I4)


@exercise("IntMatMul.forward")
@pytest.mark.parametrize("k", [1023, 1024, 1025, 2047, 2049, 3000])
def test_long_sums_at_the_extremes(rng, k):
    x = rng.choice(np.array([-127, 127, 126], I1), size=(2, k))
    w = np.concatenate([x, rng.choice(np.array([-128, 127], I1), size=(1, k))])
    expect.close("IntMatMul().forward(x, w)", np.array(products(x, w)), 0, 0, dtype=I4)


@exercise("IntMatMul.forward")
@pytest.mark.parametrize("k", [1500, 4097])
def test_long_sums_of_any_codes(rng, k):
    x = rng.integers(90, 128, (3, k)).astype(I1)
    w = rng.integers(90, 128, (2, k)).astype(I1)
    expect.close("IntMatMul().forward(x, w)", np.array(products(x, w)), 0, 0, dtype=I4)


@exercise("IntMatMul.forward")
def test_the_longest_sum_there_may_be():
    x = np.full((1, LONGEST), -128, I1)
    w = np.concatenate([x, np.full((1, LONGEST), 127, I1)])
    x[0, 0] = 1
    rest = LONGEST - 1
    want = [[16384 * rest - 128, -16256 * rest + 127]]
    expect.close("IntMatMul().forward(x, w)", np.array(want), 0, 0, dtype=I4)


@exercise("IntMatMul.forward")
@pytest.mark.parametrize("lead", [(), (1,), (2, 3), (3, 1, 2), (0,), (2, 0), (0, 3)])
def test_leading_axes_stay(rng, lead):
    x, w = rng.integers(-128, 128, (*lead, 6)).astype(I1), rng.integers(-128, 128, (4, 6)).astype(I1)
    want = np.einsum("...k,nk->...n", x.astype(np.int64), w.astype(np.int64))
    expect.close("IntMatMul().forward(x, w)", want, 0, 0, dtype=I4)


@exercise("IntMatMul.forward")
def test_as_many_outputs_as_inputs(rng):
    x, w = rng.integers(-128, 128, (2, 5)).astype(I1), rng.integers(-128, 128, (5, 5)).astype(I1)
    before = x.copy(), w.copy()
    expect.close("IntMatMul().forward(x, w)", np.array(products(x, w)), 0, 0, dtype=I4)
    expect.equal("x, w", before)


@exercise("IntMatMul.forward")
def test_tensors_of_codes(rng):
    x, w = rng.integers(-128, 128, (2, 3, 9)).astype(I1), rng.integers(-128, 128, (4, 9)).astype(I1)
    want = np.einsum("...k,nk->...n", x.astype(np.int64), w.astype(np.int64))
    expect.close("int_matmul(Tensor(x), Tensor(w)).numpy()", want, 0, 0, dtype=I4)


@exercise("IntMatMul.forward")
def test_a_layer_on_codes(rng):
    x, w = rng.normal(size=(3, 40)).astype(np.float32), rng.normal(size=(5, 40)).astype(np.float32)
    (a, a_scale), (b, b_scale) = quantize_rows(Tensor(x)), quantize_rows(Tensor(w))
    got = expect.value("linear_int8(a, a_scale, b, b_scale.reshape(-1)).numpy()", a=a, b=b)
    off = np.abs(got - x.astype(float) @ w.T).max()
    expect.true("off < 0.4", "the product of the codes, times both scales, is near to that of the numbers")

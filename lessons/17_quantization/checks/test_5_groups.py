"""Groups: a scale for each run of inputs, and codes of four bits; then whole models."""

import numpy as np
import pytest
from helpers import between, quiet

from tinytorch.autograd import no_grad
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.models import MLP
from tinytorch.ops.integer import unpack_nibbles
from tinytorch.quantization import quantize
from tinytorch.quantization.convert import four_bits
from tinytorch.quantization.grid import group_codes, group_scales
from tinytorch.random import Generator
from tinytorch.tensor import Tensor

F4 = np.float32


def largest_of_runs(w, size):
    """The largest |w| of each run of `size` inputs, by hand."""
    return [
        [max(abs(v) for v in row[start : start + size]) for start in range(0, len(row), size)]
        for row in w.tolist()
    ]


# ---------------------------------------------------------------- group_scales


@exercise("group_scales")
@pytest.mark.parametrize(
    ("n", "k", "size"), [(1, 4, 2), (3, 12, 4), (3, 12, 3), (4, 6, 6), (2, 5, 1), (4, 8, 2)]
)
def test_a_scale_for_each_run_of_inputs(rng, n, k, size):
    w = rng.normal(size=(n, k)).astype(F4)
    want = np.array(largest_of_runs(w, size)) / 7
    expect.close("group_scales(w, size)", want, 1e-6, 0, dtype=F4)
    expect.close("group_scales(w, size, 8)", want * 7 / 127, 1e-6, 0, dtype=F4)


@exercise("group_scales")
def test_runs_by_themselves():
    w = np.array([[7.0, 1.0, -0.7, 0.1, 0.0, 0.0], [-0.014, 0.0, 70.0, 70.0, 0.0, 1e-40]])
    want = [[1.0, 0.1, 1.0], [0.002, 10.0, 1.0]]
    expect.close("group_scales(w, 2)", np.array(want), 1e-6, 0, dtype=F4)
    before = w.copy()
    expect.value("group_scales(w, 3)")
    expect.equal("w", before)


# ---------------------------------------------------------------- group_codes


@exercise("group_codes")
@pytest.mark.parametrize(
    ("n", "groups", "size"), [(1, 2, 2), (3, 4, 3), (3, 3, 4), (4, 1, 5), (2, 6, 1), (2, 2, 8)]
)
@pytest.mark.parametrize("bits", [4, 8])
def test_each_run_has_its_scale(rng, n, groups, size, bits):
    most = 2 ** (bits - 1) - 1
    codes = rng.integers(-most, most + 1, size=(n, groups * size))
    scales = (10.0 ** rng.uniform(-3, 3, size=(n, groups))).astype(F4)
    w = between(rng, codes, np.repeat(scales, size, axis=1))
    expect.close("group_codes(w, scales, bits)", codes, 0, 0, dtype=np.int8)


@exercise("group_codes")
def test_four_bits_unless_told():
    w, scales = np.array([[99.0, -99.0, 7.4, -7.4, -7.9, 0.3]], F4), np.array([[1.0]], F4)
    expect.close("group_codes(w, scales)", np.array([[7, -7, 7, -7, -7, 0]]), 0, 0, dtype=np.int8)
    expect.close("group_codes(w, scales, 8)", np.array([[99, -99, 7, -7, -8, 0]]), 0, 0, dtype=np.int8)
    expect.close("group_codes(w, scales, 3)", np.array([[3, -3, 3, -3, -3, 0]]), 0, 0, dtype=np.int8)


@exercise("group_codes")
def test_halves_of_a_step_go_to_even_codes():
    w, scales = np.array([[0.25, 0.75, 1.0, 3.0]], F4), np.array([[0.5, 2.0]], F4)
    expect.close("group_codes(w, scales)", np.array([[0, 2, 0, 2]]), 0, 0, dtype=np.int8)


@exercise("group_codes")
def test_weights_stay_as_they_are(rng):
    w, scales = rng.normal(size=(2, 6)).astype(F4), np.ones((2, 3), F4)
    before = w.copy()
    expect.value("group_codes(w, scales)")
    expect.equal("w", before)


@exercise("group_scales", "group_codes")
def test_a_large_weight_spoils_its_own_group_only(rng):
    w = rng.uniform(-1, 1, size=(3, 32)).astype(F4)
    w[1, 5] = 700.0
    scales = group_scales(w, 8)
    codes = expect.value("group_codes(w, scales)")
    off = np.abs(codes * np.repeat(np.asarray(scales, float), 8, axis=1) - w)
    off[1, :8] = 0
    worst = off.max()
    expect.true("worst < 0.08", "all but its own group are off by half a step at most", worst=worst)


@exercise("group_scales", "group_codes")
def test_weights_as_half_bytes(rng):
    w = rng.normal(size=(4, 32)).astype(F4)
    packed, scales = expect.value("four_bits(w, 16)")
    expect.equal("packed.shape, scales.shape", ((4, 16), (4, 2)), packed=packed, scales=scales)
    codes = unpack_nibbles(packed)
    off = np.abs(codes * np.repeat(scales.astype(float), 16, axis=1) - w)
    worst = (off / np.repeat(scales.astype(float), 16, axis=1)).mean()
    expect.true("worst < 0.35", "codes times scales are the weights, up to a part of a step", worst=worst)


# ---------------------------------------------------------------- models


EVERYTHING = (
    "symmetric_scale",
    "affine_grid",
    "Quantize.forward",
    "channel_scales",
    "IntMatMul.forward",
    "percentile_range",
    "group_scales",
    "group_codes",
)


@exercise(*EVERYTHING)
@pytest.mark.parametrize(("scheme", "most"), [("int8", 0.05), ("uint8-static", 0.05), ("int4-g32", 0.5)])
def test_a_model_on_your_codes(rng, scheme, most):
    model = MLP((16, 32, 4), generator=Generator(int(rng.integers(100)))).eval()
    x = Tensor(rng.normal(size=(40, 16)).astype(F4))
    small = quantize(model, [x], scheme, prefer="size", max_loss=9.0, rounding="nearest")
    kinds = [type(layer).__name__ for layer in small.layers]
    expect.equal("kinds", ["QuantizedLinear", "ReLU", "QuantizedLinear"], kinds=kinds)
    with no_grad():
        want = model(x).numpy()
        got = expect.value("small(x).numpy()", small=small)
    off = np.abs(got - want).max() / np.abs(want).max()
    expect.true("off < most", "the model on codes gives about what the model gives", off=off)

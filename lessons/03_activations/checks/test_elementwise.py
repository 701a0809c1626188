"""What the element-wise activations do: relu, sigmoid, tanh, SiLU, GELU, and what they cost."""

import math

import numpy as np
import pytest

from tinytorch import from_numpy
from tinytorch.errors import DataError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.activation import GeluTanh, gelu, silu
from tinytorch.ops.arithmetic import Abs, Copy
from tinytorch.ops.elementwise import Exp, Relu, Sigmoid, Tanh
from tinytorch.ops.spec import Spec, float16, float32, float64

FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])


def by_element(function, a):
    """A function of Python numbers for each element of an array, in float64."""
    return np.array([function(float(x)) for x in a.ravel()]).reshape(a.shape)


def numbers(rng, dtype, *shape):
    """Normal numbers, three times as wide as usual."""
    return (3 * rng.normal(size=shape)).astype(dtype)


# ---------------------------------------------------------------- relu


@exercise("Relu.forward")
@FLOATS
def test_relu_keeps_what_is_positive(rng, dtype):
    a = numbers(rng, dtype, 3, 5)
    expect.close("Relu().forward(a)", by_element(lambda x: x if x > 0 else 0.0, a), 0, 0, dtype=dtype)


@exercise("Relu.forward")
def test_relu_at_the_edges():
    a = np.array([-np.inf, -0.5, 0.0, 2.0, np.inf, np.nan])
    expect.close("Relu().forward(a)", [0, 0, 0, 2, np.inf, np.nan], 0, 0)
    whole, number, empty = np.array([-3, 0, 4]), np.array(-1.5), np.zeros((0, 4), np.float32)
    expect.close("Relu().forward(whole)", [0, 0, 4], dtype=np.int64)
    expect.close("Relu().forward(number)", 0.0)
    expect.close("Relu().forward(empty)", np.zeros((0, 4)), dtype=np.float32)


@exercise("Relu.forward")
def test_relu_leaves_its_input_alone():
    a = np.array([-1.0, 2.0])
    expect.value("Relu().forward(a)")
    expect.true("(a == [-1.0, 2.0]).all()", "Relu().forward(a) does not change a")
    positive = np.array([1.0, 2.0])
    expect.true(
        "not np.shares_memory(Relu().forward(positive), positive)", "the result has memory of its own"
    )


# ---------------------------------------------------------------- sigmoid and tanh


@exercise("Sigmoid.forward")
@FLOATS
def test_sigmoid(rng, dtype):
    a = numbers(rng, dtype, 2, 7)
    expect.close(
        "Sigmoid().forward(a)", by_element(lambda x: 1 / (1 + math.exp(-x)), a), 1e-5, 1e-7, dtype=dtype
    )
    three = np.array([0.0, math.log(3), -math.log(3)])
    expect.close("Sigmoid().forward(three)", [0.5, 0.75, 0.25])


@exercise("Sigmoid.forward")
@FLOATS
def test_sigmoid_of_huge_numbers(dtype):
    a = np.array([-np.inf, -1e30, -800, 800, 1e30, np.inf, np.nan], dtype)
    expect.close("Sigmoid().forward(a)", [0, 0, 0, 1, 1, 1, np.nan], 0, 1e-30, dtype=dtype)
    small = np.array([-20.0, -40.0], dtype)
    expect.close("Sigmoid().forward(small)", [math.exp(-20), math.exp(-40)], rtol=1e-4, atol=0)
    expect.true(
        "(a[1:3] == np.array([-1e30, -800], a.dtype)).all()", "Sigmoid().forward(a) does not change a"
    )
    halves, number = np.array([0, 1000, -1000], np.float16), np.array(0.0)
    expect.close("Sigmoid().forward(halves)", [0.5, 1, 0], 0, 1e-4, dtype=np.float16)
    expect.close("Sigmoid().forward(number)", 0.5)


@exercise("Tanh.forward")
@FLOATS
def test_tanh(rng, dtype):
    a = numbers(rng, dtype, 2, 7)
    expect.close("Tanh().forward(a)", by_element(math.tanh, a), 1e-5, 1e-7, dtype=dtype)
    halves = np.array([0.5, -0.25], np.float16)
    expect.close("Tanh().forward(halves)", [0.4621, -0.2449], 1e-2, dtype=np.float16)


@exercise("Tanh.forward")
@FLOATS
def test_tanh_of_huge_and_tiny_numbers(dtype):
    a = np.array([-np.inf, -1e30, -800, 0, 800, 1e30, np.inf, np.nan], dtype)
    expect.close("Tanh().forward(a)", [-1, -1, -1, 0, 1, 1, 1, np.nan], 0, 1e-6, dtype=dtype)
    tiny = np.array([1e-6, -3e-10, 2e-20], dtype)
    expect.close("Tanh().forward(tiny)", tiny.astype(np.float64), rtol=1e-4, atol=0, dtype=dtype)


# ---------------------------------------------------------------- SiLU and GELU


@exercise("Sigmoid.forward", "silu")
def test_silu(rng):
    values = numbers(rng, "float64", 3, 4)
    x = from_numpy(values)
    expect.close("silu(x)", by_element(lambda v: v / (1 + math.exp(-v)), values), 1e-9, 1e-9)
    singles = from_numpy(np.array([-1, 0, 100, -1000], np.float32))
    expect.close("silu(singles)", [-0.26894142, 0, 100, 0], dtype=np.float32)


@exercise("Sigmoid.forward", "silu")
def test_silu_is_made_of_ops():
    x = from_numpy(np.array([1.0, 2.0])).requires_grad_()
    expect.true("silu(x).requires_grad", "only ops computed the result, so that gradients can flow")


@exercise("gelu")
def test_gelu_is_exact_unless_told(rng):
    values = numbers(rng, "float64", 3, 4)
    x = from_numpy(values)
    want = by_element(lambda v: v * 0.5 * (1 + math.erf(v / math.sqrt(2))), values)
    expect.close("gelu(x)", want, 1e-9, 1e-9)
    expect.close('gelu(x, "none")', want, 1e-9, 1e-9)
    expect.close('gelu(x, approximate="none")', want, 1e-9, 1e-9)
    singles = from_numpy(np.array([0, 1, -1], np.float32))
    expect.close("gelu(singles)", [0, 0.84134475, -0.15865525], dtype=np.float32)
    grown = from_numpy(np.array([1.0, 2.0])).requires_grad_()
    expect.true("gelu(grown).requires_grad", "only ops computed the result, so that gradients can flow")


@exercise("gelu")
def test_gelu_knows_two_forms():
    x = from_numpy(np.array([1.0, 2.0]))
    expect.raises('gelu(x, "sigmoid")', DataError, "sigmoid")
    expect.raises('gelu(x, "Tanh")', DataError, "Tanh")


def gelu_tanh(v):
    """The two outputs of GeluTanh for one number, by the formula in Hendrycks and Gimpel (2016)."""
    s = 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))
    return v * s, s


@exercise("GeluTanh.forward")
@FLOATS
def test_the_tanh_form_gives_a_pair(rng, dtype):
    x = numbers(rng, dtype, 4, 5)
    want = by_element(lambda v: gelu_tanh(v)[0], x), by_element(lambda v: gelu_tanh(v)[1], x)
    before = x.copy()
    expect.close("GeluTanh().forward(x)", want, 1e-4, 1e-6)
    expect.close("GeluTanh().forward(x)[0]", want[0], 1e-4, 1e-6, dtype=dtype)
    expect.close("GeluTanh().forward(x)[1]", want[1], 1e-4, 1e-6, dtype=dtype)
    expect.true("(x == before).all()", "GeluTanh().forward(x) does not change x")


@exercise("GeluTanh.forward")
@FLOATS
def test_the_tanh_form_of_huge_numbers(dtype):
    x = np.array([-1000, -50, 0, 50, 1000], dtype)
    expect.close("GeluTanh().forward(x)", (np.array([0.0, 0, 0, 50, 1000]), np.array([0, 0, 0.5, 1, 1])))
    number, empty = np.array(1.0), np.zeros((0, 3))
    expect.close("GeluTanh().forward(number)", (np.array(0.841192), np.array(0.841192)))
    expect.close("GeluTanh().forward(empty)", (np.zeros((0, 3)), np.zeros((0, 3))))


@exercise("GeluTanh.forward")
def test_every_element_of_a_large_array(rng):
    x = rng.normal(size=(3, 30_000)).T
    u = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    expect.close("GeluTanh().forward(x)[0]", x * 0.5 * (1 + np.tanh(u)), 1e-9, 1e-9)


@exercise("gelu", "GeluTanh.forward")
def test_gelu_offers_the_tanh_form():
    x = from_numpy(np.array([-2.0, -0.5, 0.0, 1.0, 3.0]))
    want = np.array([gelu_tanh(v)[0] for v in (-2.0, -0.5, 0.0, 1.0, 3.0)])
    expect.close('gelu(x, "tanh")', want, 1e-7, 1e-7)
    expect.close('gelu(x, approximate="tanh")', want, 1e-7, 1e-7)
    grown = from_numpy(np.array([1.0, 2.0])).requires_grad_()
    expect.true('gelu(grown, "tanh").requires_grad', "the op computed the result, so that gradients can flow")


# ---------------------------------------------------------------- FLOPs


@exercise("Unary.flops")
def test_flops_by_the_table():
    expect.equal("Relu().flops(Spec((3, 4), float32), Spec((3, 4), float32))", 12)
    expect.equal("Tanh().flops(Spec((3, 4), float32), Spec((3, 4), float32))", 72)
    expect.equal("Exp().flops(Spec((32, 784), float64), Spec((32, 784), float64))", 100_352)
    expect.equal("Abs().flops(Spec((), float16), Spec((), float16))", 1)
    expect.equal("Copy().flops(Spec((5, 5), float32), Spec((5, 5), float32))", 0)
    expect.equal("Sigmoid().flops(Spec((0, 4), float32), Spec((0, 4), float32))", 0)

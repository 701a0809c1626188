"""The rules of single ops: from the gradient of the output to those of the inputs."""

import numpy as np
import pytest
from helpers import gradients, linked_to_g

from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.arithmetic import Div, Mul
from tinytorch.ops.elementwise import Tanh
from tinytorch.ops.matmul import MatMul
from tinytorch.ops.reduce import Mean
from tinytorch.ops.softmax import Softmax

FOLLOWS = "the gradient is made by ops on tensors, so that it can be differentiated again"
LINKED = "each gradient is made from g by ops on tensors, so that it can be differentiated by g"


@exercise("Mul.vjp")
def test_product(rng):
    a, b, g = rng.normal(size=(3, 2, 4))
    expect.close("gradients(Mul(), g, a, b)", (g * b, g * a))
    expect.true("gradients(Mul(), g, a, b)[0].requires_grad", FOLLOWS)
    expect.true("all(linked_to_g(Mul(), g, a, b))", LINKED)
    expect.gradient("Mul()", rng.normal(size=(3, 1)), rng.normal(size=4))


@exercise("Mul.vjp")
def test_product_in_float32(rng):
    a, b, g = rng.normal(size=(3, 5)).astype(np.float32)
    expect.close("gradients(Mul(), g, a, b)[0]", g * b, dtype="float32")
    expect.close("gradients(Mul(), g, a, b)[1]", g * a, dtype="float32")


@exercise("Div.vjp")
def test_quotient(rng):
    a, g = rng.normal(size=(2, 2, 4))
    b = rng.uniform(0.5, 2, size=(2, 4)) * rng.choice([-1, 1], size=(2, 4))
    expect.close("gradients(Div(), g, a, b)", (g / b, -g * a / b**2))
    expect.true("gradients(Div(), g, a, b)[1].requires_grad", FOLLOWS)
    expect.true("all(linked_to_g(Div(), g, a, b))", LINKED)
    expect.gradient("Div()", rng.normal(size=(3, 1)), rng.uniform(0.5, 2, size=4))


@exercise("Tanh.vjp")
def test_tanh(rng):
    a, g = rng.normal(size=(2, 3, 4))
    expect.close("gradients(Tanh(), g, a)", (g / np.cosh(a) ** 2,))
    expect.true("gradients(Tanh(), g, a)[0].requires_grad", FOLLOWS)
    expect.true("all(linked_to_g(Tanh(), g, a))", LINKED)


@exercise("Tanh.vjp")
def test_tanh_where_it_is_flat():
    a, g = np.array([-400.0, 0.0, 400.0]), np.array([2.0, 3.0, 4.0])
    expect.close("gradients(Tanh(), g, a)", (np.array([0.0, 3.0, 0.0]),))


@exercise("MatMul.vjp")
def test_product_of_matrices(rng):
    a, b, g = rng.normal(size=(3, 4)), rng.normal(size=(4, 5)), rng.normal(size=(3, 5))
    want = np.einsum("ij,kj->ik", g, b), np.einsum("ik,ij->kj", a, g)
    expect.close("gradients(MatMul(), g, a, b)", want)
    expect.true("gradients(MatMul(), g, a, b)[1].requires_grad", FOLLOWS)
    expect.true("all(linked_to_g(MatMul(), g, a, b))", LINKED)


@exercise("MatMul.vjp")
def test_products_in_batches(rng):
    a, b, g = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 4, 2)), rng.normal(size=(2, 3, 2))
    want = np.einsum("nij,nkj->nik", g, b), np.einsum("nik,nij->nkj", a, g)
    expect.close("gradients(MatMul(), g, a, b)", want)
    expect.gradient("MatMul()", rng.normal(size=(2, 1, 3, 2)), rng.normal(size=(3, 2, 2)))


@exercise("MatMul.vjp")
def test_product_over_nothing():
    a, b, g = np.ones((3, 0)), np.ones((0, 2)), np.ones((3, 2))
    expect.close("gradients(MatMul(), g, a, b)", (np.zeros((3, 0)), np.zeros((0, 2))))


@exercise("Mean.vjp")
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [(0,), (1,), (0, 2), (0, 1, 2), ()])
def test_mean(axis, keepdims, rng):
    a = rng.normal(size=(2, 3, 4))
    full = rng.normal(size=tuple(1 if i in axis else n for i, n in enumerate(a.shape)))
    g = full if keepdims else full.reshape([n for i, n in enumerate(a.shape) if i not in axis])
    want = np.broadcast_to(full, a.shape) * (full.size / a.size)
    expect.close("gradients(Mean(axis, keepdims), g, a)", (want,))
    expect.true("all(linked_to_g(Mean(axis, keepdims), g, a))", LINKED)


@exercise("Mean.vjp")
def test_mean_in_float32_and_over_nothing():
    a, g = np.ones((3, 4), np.float32), np.ones(3, np.float32)
    expect.close("gradients(Mean((1,)), g, a)[0]", np.full((3, 4), 0.25), dtype="float32")
    a, g = np.ones((3, 0)), np.ones(3)
    expect.close("gradients(Mean((1,)), g, a)", (np.zeros((3, 0)),))


def through_matrix(p, g):
    """The gradient of one softmax by way of the whole matrix of derivatives."""
    matrix = np.array([[p[i] * ((i == j) - p[j]) for j in range(len(p))] for i in range(len(p))])
    return matrix.T @ g


@exercise("Softmax.vjp")
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax(axis, rng):
    a, g = rng.normal(size=(2, 3, 4))
    e = np.exp(a)
    p = e / e.sum(axis, keepdims=True)
    rows = [
        through_matrix(q, h) for q, h in zip(np.moveaxis(p, axis, -1), np.moveaxis(g, axis, -1), strict=True)
    ]
    expect.close("gradients(Softmax(axis), g, a)", (np.moveaxis(np.array(rows), -1, axis),))
    expect.true("gradients(Softmax(axis), g, a)[0].requires_grad", FOLLOWS)
    expect.true("all(linked_to_g(Softmax(axis), g, a))", LINKED)


@exercise("Softmax.vjp")
def test_softmax_in_the_middle(rng):
    expect.gradient("Softmax(1)", rng.normal(size=(2, 3, 2)))

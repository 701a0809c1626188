"""Waves, and vectors added to positions."""

import math

import numpy as np

from tinytorch.errors import ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn.embedding import Positions, sinusoidal
from tinytorch.tensor import Tensor


def waves(length, dim):
    """The formula, one element at a time."""
    table = np.zeros((length, dim))
    for p in range(length):
        for column in range(dim):
            angle = p / 10000 ** (2 * (column // 2) / dim)
            table[p, column] = math.sin(angle) if column % 2 == 0 else math.cos(angle)
    return table


@exercise("sinusoidal")
def test_waves_by_the_formula():
    expect.close(
        "sinusoidal(3, 2)", np.array([[0.0, 1.0], [math.sin(1), math.cos(1)], [math.sin(2), math.cos(2)]])
    )
    expect.close("sinusoidal(20, 6)", waves(20, 6), dtype=np.float32)
    expect.close("sinusoidal(5, 10)", waves(5, 10))
    expect.equal("type(sinusoidal(2, 2)).__name__", "Tensor")


@exercise("sinusoidal")
def test_far_positions_keep_their_digits():
    want = waves(30000, 2)[29990:]
    expect.close("sinusoidal(30000, 2).numpy()[29990:]", want, rtol=1e-4, atol=1e-5)


@exercise("sinusoidal")
def test_products_depend_on_the_distance_alone():
    table = expect.value("sinusoidal(30, 16)").numpy().astype(np.float64)
    products = table @ table.T
    expect.close("np.diagonal(products, 4)", np.full(26, products[0, 4]), rtol=1e-4, atol=1e-4)
    expect.close("np.diagonal(products)", np.full(30, 8.0), rtol=1e-4)


@exercise("sinusoidal")
def test_small_and_bad_sizes():
    expect.close("sinusoidal(0, 4)", np.zeros((0, 4)))
    expect.close("sinusoidal(3, 0)", np.zeros((3, 0)))
    expect.close("sinusoidal(1, 4)", np.array([[0.0, 1.0, 0.0, 1.0]]))
    expect.raises("sinusoidal(3, 5)", ShapeError, "3", "5")
    expect.raises("sinusoidal(-1, 4)", ShapeError, "-1", "4")
    expect.raises("sinusoidal(2, -2)", ShapeError, "-2")


@exercise("Positions.forward")
def test_learned_vectors_are_added(rng):
    layer, values = Positions(6, 4), rng.normal(size=(2, 3, 4)).astype(np.float32)
    x = Tensor(values)
    table = layer.table.numpy()
    expect.close("layer(x)", values + table[None, :3])
    expect.close("layer(x, 3)", values + table[None, 3:])
    expect.close("layer(x, start=2)", values + table[None, 2:5])
    expect.close("x", values)


@exercise("Positions.forward")
def test_sequences_without_a_batch_and_of_no_positions(rng):
    layer, values = Positions(5, 2), rng.normal(size=(5, 2)).astype(np.float32)
    x, none = Tensor(values), Tensor(np.zeros((2, 0, 2), np.float32))
    expect.close("layer(x)", values + layer.table.numpy())
    expect.close("layer(none, 5)", np.zeros((2, 0, 2)))


@exercise("Positions.forward")
def test_learned_vectors_get_a_gradient(rng):
    layer, x = Positions(4, 2), Tensor(rng.normal(size=(3, 2, 2)).astype(np.float32), requires_grad=True)
    expect.value("layer(x, 1)").sum().backward()
    expect.close("layer.table.grad", np.array([[0, 0], [3, 3], [3, 3], [0, 0]]))
    expect.close("x.grad", np.ones((3, 2, 2)))


@exercise("sinusoidal", "Positions.forward")
def test_fixed_waves(rng):
    layer, values = Positions(8, 4, "sinusoidal"), rng.normal(size=(1, 3, 4)).astype(np.float32)
    x = Tensor(values)
    expect.close("layer(x, 2)", values + waves(8, 4)[2:5])
    expect.equal("len(list(layer.parameters()))", 0)


@exercise("Positions.forward")
def test_positions_that_there_are_not():
    layer = Positions(6, 4)
    x, long, wide = (Tensor(np.zeros(shape, np.float32)) for shape in [(2, 3, 4), (2, 7, 4), (2, 3, 5)])
    one = Tensor(np.zeros((1, 1), np.float32))
    expect.raises("layer(long)", ShapeError, "(2, 7, 4)", "6")
    expect.raises("layer(x, 4)", ShapeError, "(2, 3, 4)", "4", "6")
    expect.raises("layer(x, -1)", ShapeError, "-1")
    expect.raises("layer(wide)", ShapeError, "(2, 3, 5)")
    expect.raises("layer(one)", ShapeError, "(1, 1)")

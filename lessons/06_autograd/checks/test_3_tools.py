"""What one works with: a gradient by differences, and a block in which nothing is recorded."""

import numpy as np
from helpers import leaf

from tinytorch.autograd import enable_grad, no_grad, numerical_gradient
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.context import state


def cubes(x):
    """A sum of cubes with weights 1, 2, 3, ..."""
    return float((x**3 * np.arange(1, x.size + 1).reshape(x.shape)).sum())


@exercise("numerical_gradient")
def test_of_a_sum_of_cubes(rng):
    x = rng.normal(size=(2, 3))
    weights = np.arange(1, 7).reshape(2, 3)
    before = x.copy()
    expect.close("numerical_gradient(cubes, x)", 3 * weights * x**2, rtol=1e-5, atol=1e-7)
    expect.equal("x", before)


@exercise("numerical_gradient")
def test_the_step(rng):
    # (x + e)^3 - (x - e)^3 = 6 x^2 e + 2 e^3: a large step shows which formula was used
    x = rng.normal(size=4)
    weights = np.arange(1, 5)
    expect.close("numerical_gradient(cubes, x, eps=0.5)", weights * (3 * x**2 + 0.25))
    expect.close("numerical_gradient(cubes, x, 1e-3)", weights * (3 * x**2 + 1e-6), rtol=1e-7, atol=1e-8)
    # |x - 5e-7| is bent so near to 0 that only the default step of 1e-6 gives this
    expect.close("numerical_gradient(lambda x: float(abs(x - 5e-7).sum()), np.zeros(1))", [-0.5], rtol=1e-3)


@exercise("numerical_gradient")
def test_without_axes_and_without_elements():
    expect.close("numerical_gradient(cubes, np.array(2.0))", 12.0, rtol=1e-4)
    expect.close("numerical_gradient(cubes, np.zeros((0, 2)))", np.zeros((0, 2)))


def recorded():
    """Whether ops are recorded now, and whether the state says so."""
    return (leaf(1.0) * 2.0).requires_grad, state().grad


def recorded_in(*blocks):
    """Whether ops are recorded inside of all blocks, and again as each of them ends."""
    if not blocks:
        return [recorded()[0]]
    with blocks[0]():
        inside = recorded_in(*blocks[1:])
    return [*inside, recorded()[0]]


def recorded_after_error():
    """Whether ops are recorded once an error ended the block."""
    try:
        with no_grad():
            raise ZeroDivisionError
    except ZeroDivisionError:
        return recorded()[0]


@exercise("no_grad")
def test_nothing_is_recorded_in_the_block():
    expect.equal("recorded_in(no_grad)", [False, True])


@exercise("no_grad")
def test_blocks_nest():
    expect.equal("recorded_in(no_grad, no_grad)", [False, False, True])
    expect.equal("recorded_in(no_grad, enable_grad)", [True, False, True])
    expect.equal("recorded_in(no_grad, enable_grad, no_grad)", [False, True, False, True])


@exercise("no_grad")
def test_an_error_ends_the_block():
    expect.equal("recorded_after_error()", True)
    expect.equal("recorded()", (True, True))

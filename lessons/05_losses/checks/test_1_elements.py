"""Losses of single elements: reductions, squared error, yes-or-no questions."""

import numpy as np
import pytest

from tinytorch import Tensor
from tinytorch.errors import DataError, ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn.losses import binary_cross_entropy_with_logits, mse_loss, reduced

FLOWS = "only ops on tensors made the result, so that gradients can flow"
SETS = pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 1, 3), ()])
REDUCTIONS = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


@exercise("reduced")
@SETS
def test_reductions(shape, rng):
    loss = Tensor(rng.normal(size=shape))
    expect.close("reduced('mine', loss, 'sum')", sum(loss.numpy().ravel()))
    expect.close("reduced('mine', loss, 'mean')", sum(loss.numpy().ravel()) / max(loss.size, 1))
    expect.close("reduced('mine', loss, 'none')", loss.numpy())


@exercise("reduced")
def test_an_empty_batch():
    loss = Tensor(np.zeros((0, 3), np.float32))
    expect.raises("reduced('mine', loss, 'mean')", DataError, "mine")
    expect.close("reduced('mine', loss, 'sum')", 0.0, dtype="float32")
    expect.equal("reduced('mine', loss, 'none').shape", (0, 3))


@exercise("reduced")
@REDUCTIONS
def test_reductions_let_gradients_flow(reduction):
    loss = Tensor([1.0, 2.0]).requires_grad_()
    expect.true("reduced('mine', loss, reduction).requires_grad", FLOWS)


@exercise("mse_loss")
@REDUCTIONS
def test_squared_error_lets_gradients_flow(reduction):
    x, y = Tensor([1.0, 2.0]).requires_grad_(), Tensor([3.0, 4.0])
    expect.true("mse_loss(x, y, reduction).requires_grad", FLOWS)
    expect.true("mse_loss(y, x, reduction).requires_grad", FLOWS)


@exercise("mse_loss")
@SETS
def test_squared_error(shape, rng):
    x, y = Tensor(rng.normal(size=shape)), Tensor(rng.normal(size=shape))
    square = (x.numpy() - y.numpy()) ** 2
    expect.close("mse_loss(x, y)", square.mean())
    expect.close("mse_loss(x, y, 'sum')", square.sum())
    expect.close("mse_loss(x, y, reduction='none')", square)


@exercise("mse_loss")
def test_squared_error_of_known_numbers():
    x, y = Tensor([1.0, 2.0, 3.0]), Tensor([1.0, 4.0, 0.0])
    expect.close("mse_loss(x, y)", 13 / 3, dtype="float32")
    expect.equal("mse_loss(x, x)", np.float32(0))


@exercise("mse_loss")
def test_shapes_that_only_broadcast():
    x, y = Tensor(np.zeros((3, 1))), Tensor(np.zeros(3))
    expect.raises("mse_loss(x, y)", ShapeError, "(3, 1)", "(3,)")
    expect.raises("mse_loss(x, x, 'average')", DataError, "average")
    expect.raises("mse_loss(Tensor(np.zeros(0)), Tensor(np.zeros(0)))", DataError, "mse_loss")


def by_definition(x, target, weight=1.0):
    """The loss of each element in float64, by way of the sigmoid."""
    s = 1 / (1 + np.exp(-x))
    return -weight * target * np.log(s) - (1 - target) * np.log(1 - s)


@exercise("binary_cross_entropy_with_logits")
@SETS
def test_yes_or_no(shape, rng):
    x, target = Tensor(rng.normal(0, 3, size=shape)), Tensor(rng.integers(0, 2, size=shape).astype(float))
    want = by_definition(x.numpy(), target.numpy())
    expect.close("binary_cross_entropy_with_logits(x, target)", want.mean())
    expect.close("binary_cross_entropy_with_logits(x, target, reduction='sum')", want.sum())
    expect.close("binary_cross_entropy_with_logits(x, target, reduction='none')", want)


@exercise("binary_cross_entropy_with_logits")
@REDUCTIONS
def test_yes_or_no_lets_gradients_flow(reduction):
    x, target, weight = Tensor([1.0, -2.0]).requires_grad_(), Tensor([1.0, 0.0]), Tensor([3.0])
    expect.true("binary_cross_entropy_with_logits(x, target, None, reduction).requires_grad", FLOWS)
    expect.true("binary_cross_entropy_with_logits(x, target, weight, reduction).requires_grad", FLOWS)


@exercise("binary_cross_entropy_with_logits")
def test_uncertain_targets(rng):
    x, target = Tensor(rng.normal(size=(3, 4))), Tensor(rng.uniform(size=(3, 4)))
    want = by_definition(x.numpy(), target.numpy())
    expect.close("binary_cross_entropy_with_logits(x, target, None, 'none')", want)


@exercise("binary_cross_entropy_with_logits")
def test_logits_of_any_size():
    x, target = Tensor([1000.0, -1000.0, 1000.0, -1000.0, 0.0]), Tensor([1.0, 0.0, 0.0, 1.0, 1.0])
    want = np.array([0.0, 0.0, 1000.0, 1000.0, np.log(2)])
    expect.close("binary_cross_entropy_with_logits(x, target, reduction='none')", want, dtype="float32")


@exercise("binary_cross_entropy_with_logits")
def test_the_weight_of_yes(rng):
    x, target = Tensor(rng.normal(size=(4, 3))), Tensor(rng.uniform(size=(4, 3)))
    weight = Tensor(np.array([0.5, 1.0, 7.0]))
    want = by_definition(x.numpy(), target.numpy(), weight.numpy())
    expect.close("binary_cross_entropy_with_logits(x, target, weight, 'none')", want)
    expect.close("binary_cross_entropy_with_logits(x, target, pos_weight=weight)", want.mean())
    big, yes = Tensor([-1000.0, 1000.0]), Tensor([1.0, 0.0])
    expect.close("binary_cross_entropy_with_logits(big, yes, Tensor([2.0]), 'none')", [2000.0, 1000.0])


@exercise("binary_cross_entropy_with_logits")
def test_what_is_refused():
    x, target = Tensor(np.zeros((2, 1))), Tensor(np.zeros(2))
    expect.raises("binary_cross_entropy_with_logits(x, target)", ShapeError, "(2, 1)", "(2,)")
    expect.raises("binary_cross_entropy_with_logits(x, x, reduction='all')", DataError, "all")
    empty = Tensor(np.zeros(0))
    expect.raises("binary_cross_entropy_with_logits(empty, empty)", DataError, "binary_cross_entropy")

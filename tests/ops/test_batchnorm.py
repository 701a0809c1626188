"""Batch normalisation against a plain reference, finite differences and its composite form; its errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch.autograd import grad, gradcheck
from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.batchnorm import BatchNorm, batch_norm
from tinytorch.tensor import Tensor, from_numpy

Array = np.ndarray[Any, Any]


def numbers(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Normal numbers, the same whenever asked for."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def normalised(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """Channel by channel in float64."""
    out = np.empty(x.shape)
    for c in range(x.shape[1]):
        values = x[:, c].astype(float)
        deviation = np.sqrt(((values - values.mean()) ** 2).mean() + eps)
        out[:, c] = (values - values.mean()) / deviation * weight[c] + bias[c]
    return out


@pytest.mark.parametrize("shape", [(4, 3, 2, 5), (6, 3), (2, 3, 7)])
@pytest.mark.parametrize("order", ["rows", "channels first"])
def test_batch_norm_normalises_each_channel(shape: tuple[int, ...], order: str) -> None:
    x, weight, bias = numbers(shape) * 3 + 5, numbers((3,)), numbers((3,), 1)
    laid = np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1) if order == "channels first" else x
    out = batch_norm(from_numpy(laid), Tensor(weight), Tensor(bias), None, None, training=True, eps=1e-3)
    np.testing.assert_allclose(out.data, normalised(x, weight, bias, 1e-3), rtol=1e-12, atol=1e-12)


def test_batch_norm_gradients_of_first_and_second_order() -> None:
    inputs = [Tensor(numbers(shape)) for shape in ((3, 2, 2, 2), (2,), (2,))]
    assert gradcheck(BatchNorm(), inputs)
    g = Tensor(numbers((3, 2, 2, 2), 1))

    def slopes(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        parts = grad(BatchNorm()(x, weight, bias), [x, weight, bias], g * x, create_graph=True)
        return sum((p * p).sum() for p in parts if p is not None)  # type: ignore[return-value]

    assert gradcheck(slopes, inputs, rtol=1e-4)


def test_batch_norm_fused_equals_composite() -> None:
    inputs = [Tensor(numbers(s), requires_grad=True) for s in ((3, 2, 4), (2,), (2,))]
    fused, composed = BatchNorm(1e-2)(*inputs), BatchNorm(1e-2).composite(*inputs)
    np.testing.assert_allclose(fused.data, composed.data, rtol=1e-12)
    g = Tensor(numbers(fused.shape, 1))
    for a, b in zip(grad(fused, inputs, g), grad(composed, inputs, g), strict=True):
        assert a is not None
        assert b is not None
        np.testing.assert_allclose(a.data, b.data, rtol=1e-10, atol=1e-12)


def test_running_statistics_move_in_training_and_serve_in_evaluation() -> None:
    x = numbers((5, 2, 3, 3)) * 2 + 1
    average, variance = Tensor(np.array([1.0, 2.0])), Tensor(np.array([3.0, 4.0]))
    batch_norm(Tensor(x), None, None, average, variance, training=True, momentum=0.25)
    np.testing.assert_allclose(average.data, 0.75 * np.array([1.0, 2.0]) + 0.25 * x.mean((0, 2, 3)))
    np.testing.assert_allclose(variance.data, 0.75 * np.array([3.0, 4.0]) + 0.25 * x.var((0, 2, 3), ddof=1))
    before = average.numpy(), variance.numpy()
    weight, bias = Tensor(np.array([2.0, -1.0])), Tensor(np.array([0.5, 0.0]))
    out = batch_norm(Tensor(x), weight, bias, average, variance, training=False, eps=1e-3)
    shape = (1, 2, 1, 1)
    expected = (x - before[0].reshape(shape)) / np.sqrt(before[1].reshape(shape) + 1e-3)
    np.testing.assert_allclose(out.data, expected * weight.data.reshape(shape) + bias.data.reshape(shape))
    np.testing.assert_array_equal(average.data, before[0])
    np.testing.assert_array_equal(variance.data, before[1])


def test_batch_norm_in_evaluation_has_gradients() -> None:
    inputs = [Tensor(numbers(s)) for s in ((2, 3, 2, 2), (3,), (3,))]
    average, variance = Tensor(numbers((3,))), Tensor(np.array([0.5, 1.0, 2.0]))
    assert gradcheck(lambda x, w, b: batch_norm(x, w, b, average, variance, training=False), inputs)


def test_batch_norm_without_variance_or_with_other_channels() -> None:
    ones = Tensor(np.ones(3))
    running = Tensor(np.ones(3))
    for shape in ((1, 3), (1, 3, 1, 1), (0, 3, 4, 4)):
        with pytest.raises(ShapeError, match=r"eval\(\)"):
            batch_norm(Tensor(np.zeros(shape)), ones, ones, running, running, training=True)
    assert running.tolist() == [1.0, 1.0, 1.0]
    assert batch_norm(Tensor(np.zeros((0, 3, 4, 4))), ones, ones, running, running, training=False).shape == (
        0,
        3,
        4,
        4,
    )
    with pytest.raises(ShapeError, match="4 channels"):
        batch_norm(Tensor(np.zeros((2, 4))), ones, ones, None, None, training=True)
    with pytest.raises(ShapeError, match="channels"):
        batch_norm(Tensor(np.zeros(3)), ones, ones, None, None, training=True)
    with pytest.raises(DTypeError, match="int64"):
        batch_norm(Tensor(np.zeros((2, 3), np.int64)), None, None, None, None, training=True)

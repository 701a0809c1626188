"""Batch normalisation: by the batch in training, by the running statistics after it."""

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn import BatchNorm2d
from tinytorch.ops.batchnorm import BatchNorm, batch_norm
from tinytorch.tensor import Tensor


def by_channel(x, weight, bias, eps):
    """Each channel on its own, as a plain list of numbers."""
    out, means, variances = np.zeros(x.shape), [], []
    for c in range(x.shape[1]):
        values = x[:, c].astype(np.float64).ravel()
        mean = values.sum() / values.size
        variance = ((values - mean) ** 2).sum() / values.size
        out[:, c] = (x[:, c] - mean) / np.sqrt(variance + eps) * weight[c] + bias[c]
        means.append(mean)
        variances.append(variance)
    return out, np.array(means), np.array(variances)


@exercise("BatchNorm.forward")
def test_two_numbers_by_hand():
    x, weight, bias = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([2.0, 4.0]), np.array([10.0, 7.0])
    out = np.array([[10 - 2 / 1.25**0.5, 7.0], [10 + 2 / 1.25**0.5, 7.0]])
    want = out, np.array([2.0, 5.0]), np.array([1.0, 0.0])
    expect.close("BatchNorm(0.25).forward(x, weight, bias)", want)


@exercise("BatchNorm.forward")
def test_images(rng):
    x, weight, bias = rng.normal(3, 2, size=(3, 4, 2, 5)), rng.normal(size=4), rng.normal(size=4)
    before = x.copy()
    expect.close("BatchNorm(0.1).forward(x, weight, bias)", by_channel(x, weight, bias, 0.1))
    expect.true("np.array_equal(x, before)", "x is left as it was")


@exercise("BatchNorm.forward")
def test_rows_and_single_precision(rng):
    x, weight, bias = (
        a.astype(np.float32) for a in (rng.normal(size=(6, 3)), rng.normal(size=3), np.ones(3))
    )
    want = by_channel(x, weight, bias, 1e-5)
    got = expect.close("BatchNorm().forward(x, weight, bias)", want, rtol=1e-3, atol=1e-4)
    for part, name in zip(got, ("out", "mean", "variance"), strict=True):
        expect.true("part.dtype == np.float32", f"{name} is float32, as x is")


@exercise("BatchNorm.forward")
def test_a_large_mean_does_not_drown_the_variance(rng):
    x = rng.normal(1e4, 1, size=(64, 2)).astype(np.float32)
    weight, bias = np.ones(2, np.float32), np.zeros(2, np.float32)
    want = by_channel(x, weight, bias, 1e-5)
    expect.close("BatchNorm().forward(x, weight, bias)", want, rtol=1e-2, atol=1e-2)


@exercise("BatchNorm.forward", "batch_norm")
def test_training_moves_the_running_statistics(rng):
    values = rng.normal(2, 3, size=(4, 2, 3, 2))
    x, weight, bias = Tensor(values), Tensor(rng.normal(size=2)), Tensor(rng.normal(size=2))
    running_mean, running_var = Tensor(np.array([1.0, -1.0])), Tensor(np.array([0.5, 2.0]))
    out, mean, variance = by_channel(values, weight.numpy(), bias.numpy(), 1e-2)
    moved = 0.7 * np.array([1.0, -1.0]) + 0.3 * mean, 0.7 * np.array([0.5, 2.0]) + 0.3 * variance * 24 / 23
    call = (
        "batch_norm(x, weight, bias, running_mean, running_var, True, 0.3, 1e-2), running_mean, running_var"
    )
    expect.close(call, (out, *moved))
    expect.true("not running_mean.requires_grad", "running statistics record no gradient")


@exercise("BatchNorm.forward", "batch_norm")
def test_the_default_momentum_and_eps(rng):
    values = rng.normal(size=(5, 2))
    x, running_mean, running_var = Tensor(values), Tensor(np.zeros(2)), Tensor(np.ones(2))
    out, mean, variance = by_channel(values, np.ones(2), np.zeros(2), 1e-5)
    want = out, 0.1 * mean, 0.9 + 0.1 * variance * 5 / 4
    call = "batch_norm(x, None, None, running_mean, running_var, True), running_mean, running_var"
    expect.close(call, want, rtol=1e-7, atol=1e-7)


@exercise("batch_norm")
def test_evaluation_uses_the_running_statistics_and_leaves_them(rng):
    values = rng.normal(size=(1, 2, 2, 3))
    x, weight, bias = Tensor(values), Tensor(np.array([2.0, -1.0])), Tensor(np.array([0.5, 3.0]))
    running_mean, running_var = Tensor(np.array([1.0, -2.0])), Tensor(np.array([4.0, 0.25]))
    want = np.stack(
        [(values[:, 0] - 1.0) / np.sqrt(4.5) * 2.0 + 0.5, (values[:, 1] + 2.0) / np.sqrt(0.75) * -1.0 + 3.0],
        1,
    )
    call = (
        "batch_norm(x, weight, bias, running_mean, running_var, False, 0.1, 0.5), running_mean, running_var"
    )
    expect.close(call, (want, np.array([1.0, -2.0]), np.array([4.0, 0.25])))


@exercise("batch_norm")
def test_evaluation_without_weight_or_bias(rng):
    values = rng.normal(size=(3, 2)).astype(np.float32)
    x, running_mean, running_var = Tensor(values), Tensor([1.0, 2.0]), Tensor([0.25, 4.0])
    want = (values - [1.0, 2.0]) / np.sqrt([0.25, 4.0])
    call = "batch_norm(x, None, None, running_mean, running_var, False)"
    expect.close(call, want, rtol=1e-3, atol=1e-4, dtype=np.float32)


@exercise("batch_norm")
def test_gradients_in_evaluation(rng):
    x = Tensor(rng.normal(size=(3, 2, 2)), requires_grad=True)
    weight, bias = (Tensor(rng.normal(size=2), requires_grad=True) for _ in range(2))
    running_mean, running_var = Tensor(np.array([1.0, -2.0])), Tensor(np.array([4.0, 0.25]))
    g = rng.normal(size=(3, 2, 2))
    out = expect.value("batch_norm(x, weight, bias, running_mean, running_var, False, 0.1, 0.5)")
    expect.true("out.requires_grad", "the result records gradients in evaluation too")
    (out * Tensor(g)).sum().backward()
    mean, root = np.array([[[1.0], [-2.0]]]), np.sqrt([[[4.5], [0.75]]])
    expect.close("x.grad", g * weight.numpy()[:, None] / root)
    expect.close("weight.grad", (g * (x.numpy() - mean) / root).sum(axis=(0, 2)))
    expect.close("bias.grad", g.sum(axis=(0, 2)))
    expect.true("running_mean.grad is None", "running statistics get no gradient")


@exercise("BatchNorm.forward", "batch_norm")
def test_evaluation_without_running_statistics_is_by_the_batch(rng):
    values = rng.normal(size=(4, 3))
    x = Tensor(values)
    want = by_channel(values, np.ones(3), np.zeros(3), 1e-5)[0]
    expect.close("batch_norm(x, None, None, None, None, False)", want)
    mean, var = Tensor(np.zeros(3)), Tensor(np.ones(3))
    expect.close("batch_norm(x, None, None, mean, None, True)", want)
    expect.close("batch_norm(x, None, None, None, var, False)", want)
    expect.close("mean", np.zeros(3))
    expect.close("var", np.ones(3))


@exercise("BatchNorm.forward", "batch_norm")
def test_evaluation_with_them_leaves_them_alone_in_a_layer(rng):
    layer = BatchNorm2d(2)
    x = Tensor(rng.normal(5, 1, size=(2, 2, 3, 3)).astype(np.float32))
    expect.value("layer(x)")
    after = layer.running_mean.numpy()
    layer.eval()
    want = (x.numpy() - after[:, None, None]) / np.sqrt(layer.running_var.numpy()[:, None, None] + 1e-5)
    expect.close("layer(x)", want, rtol=1e-3, atol=1e-4)
    expect.close("layer.running_mean", after)


@exercise("BatchNorm.forward", "batch_norm")
def test_gradients_reach_input_weight_and_bias(rng):
    x = Tensor(rng.normal(size=(3, 2, 2)), requires_grad=True)
    weight, bias = Tensor(np.array([1.5, 0.5]), requires_grad=True), Tensor(np.zeros(2), requires_grad=True)
    g = rng.normal(size=(3, 2, 2))
    out = expect.value("batch_norm(x, weight, bias, None, None, True)")
    (out * Tensor(g)).sum().backward()
    xhat = by_channel(x.numpy(), np.ones(2), np.zeros(2), 1e-5)[0]
    expect.close("bias.grad", np.einsum("ncx->c", g))
    expect.close("weight.grad", np.einsum("ncx,ncx->c", g, xhat))
    expect.close("x.grad.numpy().sum(axis=(0, 2))", np.zeros(2))


@exercise("batch_norm")
def test_what_does_not_fit():
    x, two, three = Tensor(np.ones((4, 2))), Tensor(np.ones(2)), Tensor(np.ones(3))
    expect.raises("batch_norm(x, three, None, None, None, True)", ShapeError, "(4, 2)", "(3,)")
    expect.raises("batch_norm(x, two, two, two, three, False)", ShapeError, "(3,)")
    expect.raises("batch_norm(Tensor([1.0, 2.0]), None, None, None, None, True)", ShapeError, "(2,)")
    expect.raises("batch_norm(Tensor([[1, 2]]), None, None, None, None, True)", DTypeError, "int64")
    expect.raises("batch_norm(Tensor([[1.0, 2.0]]), None, None, None, None, True)", ShapeError, "(1, 2)")

"""Layers against NumPy and SciPy in float64, first values, and dropout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from tinytorch import Tensor, nn
from tinytorch.errors import DataError, DTypeError, ShapeError
from tinytorch.nn import functional
from tinytorch.random import Generator, manual_seed

RNG = np.random.default_rng(3)
X = RNG.standard_normal((3, 4))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.ReLU(), np.maximum(X, 0)),
        (nn.GELU(), X * stats.norm.cdf(X)),
        (nn.GELU("tanh"), 0.5 * X * (1 + np.tanh(np.sqrt(2 / np.pi) * (X + 0.044715 * X**3)))),
        (nn.SiLU(), X * special.expit(X)),
        (nn.Tanh(), np.tanh(X)),
        (nn.Sigmoid(), special.expit(X)),
        (nn.Softmax(), special.softmax(X, -1)),
        (nn.Softmax(dim=0), special.softmax(X, 0)),
        (nn.Identity(), X),
    ],
    ids=repr,
)
def test_activations(module: nn.Module, expected: np.ndarray) -> None:
    assert np.allclose(module(Tensor(X)).data, expected, rtol=1e-12, atol=1e-14)


def test_gelu_refuses_another_approximation() -> None:
    with pytest.raises(DataError, match="'none' or 'tanh'"):
        nn.GELU("fast")


# ---------------------------------------------------------------- linear


@given(st.lists(st.integers(0, 3), max_size=3), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_linear_on_any_leading_axes(lead: list[int], inputs: int, outputs: int, bias: bool) -> None:
    layer = nn.Linear(inputs, outputs, bias, generator=Generator(1)).to("float64")
    x = RNG.standard_normal((*lead, inputs))
    expected = x @ layer.weight.data.T + (layer.bias.data if bias else 0)
    out = layer(Tensor(x))
    assert out.shape == (*lead, outputs)
    assert np.allclose(out.data, expected, rtol=1e-12)


def test_linear_says_what_does_not_fit() -> None:
    with pytest.raises(ShapeError, match="takes 4"):
        nn.Linear(4, 3)(Tensor([[1.0, 2.0]]))
    with pytest.raises(DTypeError):
        nn.Linear(1, 3)(Tensor([[1]]))


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (nn.Linear(400, 300, generator=Generator(5)), 400),
        (nn.Conv2d(12, 400, (3, 5), groups=4, generator=Generator(6)), 45),
    ],
)
def test_first_values_are_uniform_within_the_fan_in_bound(layer: nn.Linear, fan_in: int) -> None:
    assert layer.bias is not None
    for values in (layer.weight.data.ravel(), layer.bias.data):
        law = stats.uniform(-(fan_in**-0.5), 2 * fan_in**-0.5)
        assert stats.kstest(values, law.cdf).pvalue > 1e-3


def test_embedding_starts_normal() -> None:
    values = nn.Embedding(300, 200, generator=Generator(5)).weight.data.ravel()
    assert stats.kstest(values, stats.norm.cdf).pvalue > 1e-3


def test_first_values_follow_the_seed_or_the_generator() -> None:
    manual_seed(4)
    first = nn.Linear(3, 2).weight.numpy()
    second = nn.Linear(3, 2).weight.numpy()
    manual_seed(4)
    assert np.array_equal(nn.Linear(3, 2).weight.data, first)
    assert not np.array_equal(first, second)
    a, b = (nn.Conv2d(2, 3, 3, generator=Generator(9)).weight for _ in range(2))
    assert np.array_equal(a.data, b.data)


# ---------------------------------------------------------------- dropout


def test_dropout_keeps_the_mean_and_the_share() -> None:
    layer = nn.Dropout(0.3, generator=Generator(1))
    out = layer(Tensor(np.ones(100_000, np.float32))).data
    dropped = int((out == 0).sum())
    assert stats.binomtest(dropped, out.size, 0.3).pvalue > 1e-3
    assert np.allclose(out[out != 0], 1 / 0.7)
    # the mean of n draws of 0 or 1/0.7 has standard deviation sqrt(0.3 / 0.7 / n)
    assert abs(out.mean() - 1) < 4 * np.sqrt(0.3 / 0.7 / out.size)


def test_dropout_repeats_with_the_seed_and_goes_on_without() -> None:
    x = Tensor(np.ones((20, 20), np.float32))
    layer = nn.Dropout(0.5, generator=Generator(7))
    first, second = layer(x).numpy(), layer(x).numpy()
    assert not np.array_equal(first, second)
    assert np.array_equal(nn.Dropout(0.5, generator=Generator(7))(x).data, first)
    wide = nn.Dropout(0.5, generator=Generator(7))(x.to("float64"))
    assert wide.dtype == np.float64
    assert np.array_equal(wide.data != 0, first != 0)


def test_dropout_passes_gradients_where_it_kept() -> None:
    x = Tensor(np.ones(50), requires_grad=True)
    out = nn.Dropout(0.5, generator=Generator(2))(x)
    out.sum().backward()
    assert np.array_equal(x.grad.data, out.data)


def test_dropout_does_nothing_in_evaluation() -> None:
    x = Tensor([1.0, 2.0])
    assert nn.Dropout(0.5).eval()(x) is x
    assert nn.Dropout(0.0)(x) is x
    assert (nn.Dropout(1.0)(x).data == 0).all()
    with pytest.raises(DataError, match="probability"):
        nn.Dropout(1.5)
    with pytest.raises(DataError, match="probability"):
        functional.dropout(x, -0.1)


# ---------------------------------------------------------------- shapes and norms


def test_flatten() -> None:
    x = Tensor(np.zeros((2, 3, 4, 5)))
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Flatten()(Tensor(np.zeros((0, 3, 4)))).shape == (0, 12)


def test_layer_norm_over_several_axes() -> None:
    layer = nn.LayerNorm((3, 4), eps=1e-3).to("float64")
    layer.weight.assign_(RNG.standard_normal((3, 4)))
    layer.bias.assign_(RNG.standard_normal((3, 4)))
    x = RNG.standard_normal((5, 3, 4))
    mean, var = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    expected = (x - mean) / np.sqrt(var + 1e-3) * layer.weight.data + layer.bias.data
    assert np.allclose(layer(Tensor(x)).data, expected, rtol=1e-12)


def test_rms_norm() -> None:
    layer = nn.RMSNorm(4, eps=1e-3).to("float64")
    layer.weight.assign_(RNG.standard_normal(4))
    expected = X / np.sqrt((X**2).mean(-1, keepdims=True) + 1e-3) * layer.weight.data
    assert np.allclose(layer(Tensor(X)).data, expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_norms_need_a_size(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="positive"):
        nn.LayerNorm(shape)


# ---------------------------------------------------------------- embedding


def test_embedding_reads_rows_and_sums_gradients() -> None:
    layer = nn.Embedding(5, 3).to("float64")
    ids = np.array([[1, 4, 1], [0, 1, 4]])
    out = layer(Tensor(ids))
    assert np.array_equal(out.data, layer.weight.data[ids])
    g = RNG.standard_normal(out.shape)
    out.backward(Tensor(g))
    expected = np.zeros((5, 3))
    np.add.at(expected, ids, g)
    assert np.allclose(layer.weight.grad.data, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("bad", "message"), [(-1, "id -1 is negative"), (5, "id 5 is out of range for 5 rows")]
)
def test_embedding_names_the_id_that_has_no_row(bad: int, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        nn.Embedding(5, 3)(Tensor([[0, bad, 2]]))


def test_embedding_takes_integers_only() -> None:
    with pytest.raises(DTypeError):
        nn.Embedding(5, 3)(Tensor([0.5]))
    assert nn.Embedding(5, 3)(Tensor(np.zeros((2, 0), np.int32))).shape == (2, 0, 3)

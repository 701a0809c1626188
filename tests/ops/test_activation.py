"""tanh-GELU far out, where the obvious formula loses its digits."""

import math

import numpy as np

from tinytorch import Tensor, grad
from tinytorch.ops.activation import gelu


def _exact(x: np.ndarray) -> np.ndarray:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return x / (1 + np.exp(-2 * inner))


def test_values_keep_their_digits_in_float32() -> None:
    x = np.linspace(-6, 6, 97)[1:-1].astype(np.float32)
    expected = _exact(x.astype(np.float64))
    found = gelu(Tensor(x), "tanh").numpy()
    some = expected != 0
    assert np.abs(found[some] / expected[some] - 1).max() < 1e-5


def test_second_derivatives_keep_theirs() -> None:
    x = np.linspace(-6, 6, 97).astype(np.float32)
    t = Tensor(x, requires_grad=True)
    (g,) = grad(gelu(t, "tanh").sum(), [t], create_graph=True)
    (found,) = grad(g.sum(), [t])
    assert found is not None
    step = 1e-4
    wide = x.astype(np.float64)
    expected = (_exact(wide + step) - 2 * _exact(wide) + _exact(wide - step)) / step**2
    assert np.abs(found.numpy() - expected).max() < 1e-5

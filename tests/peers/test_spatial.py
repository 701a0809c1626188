"""Convolution, pooling and batch normalisation beside PyTorch: values, first and second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tinytorch.autograd import grad
from tinytorch.ops.batchnorm import batch_norm
from tinytorch.ops.conv import conv2d
from tinytorch.ops.pool import avg_pool2d, max_pool2d
from tinytorch.tensor import Tensor

torch: Any = pytest.importorskip("torch")

Array = np.ndarray[Any, Any]
LIMIT = {"float32": 1e-5, "float64": 1e-10}


def close(ours: Tensor | None, theirs: Any, dtype: str, what: str) -> None:
    """The error relative to the largest element is within the limit for the dtype."""
    assert ours is not None, what
    expected = theirs.detach().numpy()
    assert ours.shape == expected.shape, what
    assert ours.dtype == dtype, what
    if expected.size:
        error = np.abs(ours.data - expected).max() / max(np.abs(expected).max(), 1e-30)
        assert error <= LIMIT[dtype], f"{what}: relative error {error:.2g}"


def compare(
    ours: Callable[..., Tensor], theirs: Callable[..., Any], shapes: Sequence[tuple[int, ...]], dtype: str
) -> None:
    """Values, gradients for a random cotangent, and gradients of the squared gradients."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    mine = [Tensor(a, requires_grad=True) for a in arrays]
    peers = [torch.tensor(a, requires_grad=True) for a in arrays]
    out, peer = ours(*mine), theirs(*peers)
    close(out, peer, dtype, "value")
    cotangent = rng.standard_normal(out.shape).astype(dtype)
    first = grad(out * out, mine, Tensor(cotangent), create_graph=True)
    first_peer = torch.autograd.grad(peer * peer, peers, torch.tensor(cotangent), create_graph=True)
    for number, pair in enumerate(zip(first, first_peer, strict=True)):
        close(*pair, dtype, f"gradient of input {number}")
    total: Any = sum((g * g).sum() for g in first if g is not None)
    total_peer = sum((g * g).sum() for g in first_peer)
    second = grad(total, mine)
    second_peer = torch.autograd.grad(total_peer, peers)
    for number, pair in enumerate(zip(second, second_peer, strict=True)):
        close(*pair, dtype, f"second derivative by input {number}")


CONVOLUTIONS: list[tuple[Any, Any, dict[str, Any]]] = [
    ((4, 1, 28, 28), (16, 1, 3, 3), {"padding": 1}),
    ((4, 16, 14, 14), (32, 16, 3, 3), {"padding": 1}),
    ((2, 3, 9, 8), (4, 3, 3, 2), {"stride": (2, 1), "padding": (0, 2)}),
    ((2, 4, 9, 9), (6, 2, 3, 3), {"dilation": (2, 1), "groups": 2, "padding": 1}),
    ((3, 6, 7, 7), (12, 1, 3, 3), {"groups": 6, "padding": 1}),
    ((2, 8, 5, 5), (4, 8, 1, 1), {}),
    ((2, 3, 11, 11), (2, 3, 5, 5), {"stride": 3, "padding": 2, "dilation": 2}),
]


@pytest.mark.parametrize("dtype", LIMIT)
@pytest.mark.parametrize(("x", "w", "options"), CONVOLUTIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_conv2d(x: Any, w: Any, options: dict[str, Any], bias: bool, dtype: str) -> None:
    shapes = [x, w, (w[0],)] if bias else [x, w]
    compare(
        lambda *t: conv2d(*t, **options), lambda *t: torch.nn.functional.conv2d(*t, **options), shapes, dtype
    )


POOLS = [
    ((2, 3, 8, 8), (2, None, 0)),
    ((2, 3, 9, 7), (2, None, 0)),
    ((2, 3, 9, 8), (3, 2, 1)),
    ((1, 2, 8, 9), ((3, 2), (1, 3), (1, 0))),
    ((2, 2, 9, 9), (2, 3, 1)),
]


@pytest.mark.parametrize("dtype", LIMIT)
@pytest.mark.parametrize(("shape", "arguments"), POOLS)
@pytest.mark.parametrize("kind", ["max_pool2d", "avg_pool2d"])
def test_pooling(kind: str, shape: Any, arguments: Any, dtype: str) -> None:
    ours = {"max_pool2d": max_pool2d, "avg_pool2d": avg_pool2d}[kind]
    theirs = getattr(torch.nn.functional, kind)
    compare(lambda x: ours(x, *arguments), lambda x: theirs(x, *arguments), [shape], dtype)


@pytest.mark.parametrize("kernel", [(2, 2, 0), (3, 1, 1)])
@pytest.mark.parametrize("special", [0.0, np.nan, -np.inf])
def test_max_pool2d_sends_the_gradient_where_pytorch_does(kernel: Any, special: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (2, 2, 8, 8)).astype(np.float64)
    x[rng.random(x.shape) < 0.5] = special
    mine, peer = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    out, theirs = max_pool2d(mine, *kernel), torch.nn.functional.max_pool2d(peer, *kernel)
    np.testing.assert_array_equal(out.data, theirs.detach().numpy())
    g = rng.standard_normal(out.shape)
    out.backward(Tensor(g))
    theirs.backward(torch.tensor(g))
    assert mine.grad is not None
    np.testing.assert_allclose(mine.grad.data, peer.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("dtype", LIMIT)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (8, 3)])
def test_batch_norm(shape: tuple[int, ...], training: bool, dtype: str) -> None:
    start = np.array([0.5, -1.0, 2.0]).astype(dtype), np.array([0.5, 1.5, 2.0]).astype(dtype)
    mine, peers = [Tensor(a) for a in start], [torch.tensor(a) for a in start]
    options = {"training": training, "momentum": 0.2, "eps": 1e-4}
    compare(
        lambda x, w, b: batch_norm(x, w, b, *mine, **options),  # type: ignore[arg-type]
        lambda x, w, b: torch.nn.functional.batch_norm(x, *peers, w, b, **options),
        [shape, (3,), (3,)],
        dtype,
    )
    for ours, theirs in zip(mine, peers, strict=True):
        close(ours, theirs, dtype, "running statistics")

"""One helper compares any function with PyTorch's: values, gradients and second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from tinytorch.autograd import grad
from tinytorch.tensor import Tensor

Array = np.ndarray[Any, Any]
LIMIT = {"float32": 1e-5, "float64": 1e-10}
"""Largest relative error allowed: the largest difference over the largest number of the reference."""


def relative_error(ours: Any, theirs: Any) -> float:
    """max |ours - theirs| / max |theirs|; infinite where shapes differ, or what is not finite."""
    a = np.asarray(ours.data if isinstance(ours, Tensor) else ours, float)
    b = np.asarray(theirs.detach().numpy(force=True) if isinstance(theirs, torch.Tensor) else theirs, float)
    if a.shape != b.shape:
        return np.inf
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return np.inf
    if not finite.any():
        return 0.0
    difference, largest = np.abs(a[finite] - b[finite]).max(), np.abs(b[finite]).max()
    return float(difference / largest) if largest else float(difference)


def assert_close(what: str, ours: Any, theirs: Any, dtype: str) -> None:
    """Raises AssertionError with the error and the limit that it exceeds."""
    error = relative_error(ours, theirs)
    assert error <= LIMIT[dtype], f"{what}: relative error {error:.2e} above {LIMIT[dtype]:.0e}"


def numbers(shape: Sequence[int], dtype: str, seed: int, low: float = -2.0, high: float = 2.0) -> Array:
    """Random numbers, the same for a seed in both dtypes but for rounding."""
    return np.random.default_rng(seed).uniform(low, high, shape).astype(dtype)


def compare(
    ours: Callable[..., Tensor],
    theirs: Callable[..., torch.Tensor],
    inputs: Sequence[Array],
    dtype: str,
    second: bool = True,
) -> None:
    """Compare values, gradients for a random cotangent, and derivatives of those along random directions.

    Inputs that are integers or bools get no gradients. Raises AssertionError.
    """
    mine = [Tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    peers = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    out, reference = ours(*mine), theirs(*peers)
    assert str(out.dtype) == str(reference.dtype).removeprefix("torch."), (out.dtype, reference.dtype)
    assert_close("value", out, reference, dtype)
    assert out.requires_grad == reference.requires_grad
    if not reference.requires_grad:
        return
    g = numbers(out.shape, str(out.dtype), seed=101)
    leaves = [t for t in mine if t.requires_grad]
    peer_leaves = [t for t in peers if t.requires_grad]
    peer_g = torch.tensor(g, requires_grad=second)
    my_g = Tensor(g, requires_grad=second)
    found = grad(out, leaves, my_g, create_graph=second)
    expected = torch.autograd.grad(reference, peer_leaves, peer_g, create_graph=second, allow_unused=True)
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert_close(f"gradient {i}", *_filled(a, b, leaves[i]), dtype)
    if second:
        _compare_second([*leaves, my_g], [*peer_leaves, peer_g], found, expected, dtype)


def _filled(a: Tensor | None, b: torch.Tensor | None, leaf: Tensor) -> tuple[Any, Any]:
    """None stands for zeros on either side."""
    nothing = np.zeros(leaf.shape)
    return nothing if a is None else a, nothing if b is None else b


def _compare_second(
    leaves: Sequence[Tensor],
    peer_leaves: Sequence[torch.Tensor],
    found: Sequence[Any],
    expected: Sequence[Any],
    dtype: str,
) -> None:
    total, peer_total = Tensor(np.zeros((), dtype)), torch.zeros((), dtype=getattr(torch, dtype))
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        direction = numbers(leaves[i].shape, str(leaves[i].dtype), seed=201 + i)
        total = total if a is None else total + (a * Tensor(direction)).sum()
        peer_total = peer_total if b is None else peer_total + (b * torch.tensor(direction)).sum()
    unused = [None] * len(leaves)
    twice = grad(total, leaves) if total.requires_grad else unused
    peer_twice = (
        torch.autograd.grad(peer_total, peer_leaves, allow_unused=True)
        if peer_total.requires_grad
        else unused
    )
    for i, (a, b) in enumerate(zip(twice, peer_twice, strict=True)):
        assert_close(f"second derivative {i}", *_filled(a, b, leaves[i]), dtype)

"""What tests of `compile` share: functions run eagerly and compiled, and compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinytorch.acceleration.arguments import tensors_in
from tinytorch.acceleration.variant import Variant
from tinytorch.nn.module import Module
from tinytorch.tensor import Tensor


class Runs:
    """Programs that ran, in order."""

    def __init__(self) -> None:
        self.variants: list[Variant] = []

    def __len__(self) -> int:
        return len(self.variants)


@contextmanager
def counting_runs() -> Iterator[Runs]:
    """Count how often a program runs in the block, instead of Python."""
    runs = Runs()
    run_of, find_of = Variant.run, Variant.find_shortcut

    def run(self: Variant, tensors: Any, watched: bool = False) -> Any:
        runs.variants.append(self)
        return run_of(self, tensors, watched)

    def find(self: Variant) -> None:
        before = self.shortcut
        find_of(self)
        made = self.shortcut
        if made is not None and made is not before:

            def counted(args: Any, grad: bool) -> Any:
                found = made(args, grad)
                if found is not None:
                    runs.variants.append(self)
                return found

            self.shortcut = counted

    Variant.run, Variant.find_shortcut = run, find  # type: ignore[method-assign]
    try:
        yield runs
    finally:
        Variant.run, Variant.find_shortcut = run_of, find_of  # type: ignore[method-assign]


def close(got: Any, want: Any, tolerance: float = 1e-5) -> None:
    """Assert that the tensors in two results have the same specs, and nearly the same values."""
    a, b = list(tensors_in(got)), list(tensors_in(want))
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        x, y = one.numpy(), other.numpy()
        scale = max(1.0, float(np.abs(y).max())) if y.size else 1.0
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * scale)


def same_state(a: Module, b: Module, tolerance: float = 1e-5) -> None:
    """Assert that parameters and buffers of two models are nearly the same."""
    close(
        [t for _, t in sorted(a.state_dict().items())],
        [t for _, t in sorted(b.state_dict().items())],
        tolerance,
    )


def same_gradients(a: Module, b: Module, tolerance: float = 1e-5) -> None:
    """Assert that the gradients of two models are nearly the same, and missing in the same places."""
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            close(p.grad, q.grad, tolerance)


def random(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Tensor:
    """Normal numbers."""
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))

"""Numbers that lie clear of the middle between two codes, a grid by hand, and gradients of one op."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch import console
from tinytorch.ops.base import Op
from tinytorch.ops.spec import Spec
from tinytorch.tensor import Tensor


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    """Spare the learner the progress of what is measured, and his cache what is compiled for it."""
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path))
    console.set_quiet(True)
    yield
    console.set_quiet(False)


def between(rng: Any, codes: Any, scale: Any, dtype: Any = np.float32) -> Any:
    """Numbers whose nearest codes are these, none of them near to the middle between two."""
    return ((codes + rng.uniform(-0.45, 0.45, np.shape(codes))) * np.asarray(scale, np.float64)).astype(dtype)


def whole(x: float) -> int:
    """The nearest whole number, that which is even if there are two."""
    return round(float(x))


def products(x: Any, w: Any) -> list[Any]:
    """x @ w^T in Python's whole numbers, which have no largest one; x: (m, k), w: (n, k)."""
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in w.tolist()] for row in x.tolist()
    ]


def losses(values: Any, low: float, high: float, steps: int) -> Any:
    """For the shares 1/steps, ... 1 of a range: the mean square of what int8 codes lose, in float64."""
    values, found = np.asarray(values, np.float64), []
    for step in range(1, steps + 1):
        least, most = min(low * step / steps, 0.0), max(high * step / steps, 0.0)
        width = (most - least) / 255 or 1.0
        zero = whole(-128 - least / width) if most > least else 0
        codes = np.clip(np.rint(values / width) + zero, -128, 127)
        found.append(np.mean((values - (codes - zero) * width) ** 2))
    return np.array(found)


def lost(found: Any, values: Any, low: float, high: float, steps: int) -> str:
    """What is wrong with a range that is said to lose least, and "" if nothing."""
    found_losses = losses(values, low, high, steps)
    for step in range(steps, 0, -1):
        if np.allclose(found, (low * step / steps, high * step / steps), 1e-5, 1e-9):
            loss, best = found_losses[step - 1], int(found_losses.argmin())
            if loss <= 1.001 * found_losses[best]:
                return ""
            text = f"the share {step}/{steps} loses {loss:.4g}"
            return f"{text}, and {best + 1}/{steps} only {found_losses[best]:.4g}"
    return f"the range is none of the shares 1/{steps}, 2/{steps}, ... 1 of {low:.4g} .. {high:.4g}"


def gradients(op: Op, g: Any, *arrays: Any) -> Any:
    """What the rule of `op` gives for g, the gradient of its result."""
    spec = Spec(g.shape, g.dtype)
    found = op.vjp(Tensor(g), spec, *(Tensor(a) for a in arrays))
    return tuple(f() if callable(f) else f for f in found) if isinstance(found, tuple | list) else found

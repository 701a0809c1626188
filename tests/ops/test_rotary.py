"""Rotary positions: what turning keeps, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tinytorch import Tensor
from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.rotary import Rotary, angles, rotary

COS, SIN = (Tensor(a.astype(np.float64)) for a in angles(64, 8, 100.0))
RNG = np.random.default_rng(2)


def at(*positions: int) -> Tensor:
    return Tensor(np.array([positions]))


def test_angles_one_by_one() -> None:
    cos, sin = angles(5, 6, 50.0)
    assert cos.dtype == sin.dtype == np.float32
    for p, i in np.ndindex(5, 3):
        angle = p / 50.0 ** (2 * i / 6)
        assert (cos[p, i], sin[p, i]) == (np.float32(np.cos(angle)), np.float32(np.sin(angle)))


def test_lengths_stay_and_dot_products_depend_on_distances() -> None:
    q, k = (Tensor(RNG.normal(size=(1, 1, 1, 8))) for _ in range(2))

    def dot(p: int, r: int) -> float:
        return float((rotary(q, COS, SIN, at(p)) * rotary(k, COS, SIN, at(r))).sum().item())

    assert dot(3, 1) == pytest.approx(dot(43, 41), rel=1e-5)
    assert dot(3, 1) != pytest.approx(dot(1, 3), rel=1e-3)
    assert dot(0, 0) == pytest.approx(float((q * k).sum().item()))
    turned = rotary(q, COS, SIN, at(50)).data
    assert np.allclose((turned**2).sum(), (q.data**2).sum(), rtol=1e-6)
    assert not np.allclose(turned, q.data)


def test_turning_back_undoes_it() -> None:
    x, places = Tensor(RNG.normal(size=(2, 3, 4, 8))), Tensor(RNG.integers(0, 64, (2, 4)))
    back = Rotary(back=True)(rotary(x, COS, SIN, places), COS, SIN, places)
    assert np.allclose(back.data, x.data, rtol=1e-5, atol=1e-6)


def test_what_does_not_fit_is_named() -> None:
    x = Tensor(np.ones((2, 3, 4, 8)))
    for wrong in ((0, 1, 2, 64), (-1, 0, 1, 2)):
        with pytest.raises(
            ShapeError, match=f"positions {min(wrong)} to {max(wrong)}; there are angles for 64"
        ):
            rotary(x, COS, SIN, at(*wrong))
    with pytest.raises(ShapeError, match=r"positions \(1, 3\) of x"):
        rotary(x, COS, SIN, at(0, 1, 2))
    with pytest.raises(ShapeError, match=r"x \(2, 3, 4, 6\), cos \(64, 4\)"):
        rotary(x[..., :6], COS, SIN, at(0, 1, 2, 3))
    with pytest.raises(ShapeError, match=r"expected \(batch, heads, t, d\)"):
        rotary(x[0], COS, SIN, at(0, 1, 2, 3))
    with pytest.raises(ShapeError, match="cos"):
        rotary(x, COS, SIN[:8], at(0, 1, 2, 3))
    with pytest.raises(DTypeError, match="positions are integers, not float64"):
        rotary(x, COS, SIN, Tensor(np.zeros((1, 4))))
    with pytest.raises(DTypeError):
        rotary(Tensor(np.ones((1, 1, 1, 8), np.int64)), COS, SIN, at(0))

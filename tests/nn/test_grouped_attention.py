"""Grouped-query attention: the heads of keys and values repeated, and what that leaves open."""

from __future__ import annotations

import numpy as np
import pytest

from tinytorch import Tensor
from tinytorch.autograd import grad
from tinytorch.errors import ShapeError
from tinytorch.nn.attention import grouped_attention
from tinytorch.ops.attention import attention

RNG = np.random.default_rng(6)


def tensors(batch: int, heads: int, kv_heads: int, t: int, s: int, d: int = 4) -> list[Tensor]:
    shapes = (batch, heads, t, d), (batch, kv_heads, s, d), (batch, kv_heads, s, d)
    return [Tensor(RNG.standard_normal(shape), requires_grad=True) for shape in shapes]


def repeated(x: Tensor, heads: int) -> Tensor:
    """Query head i has key head i // group: each of them comes so many times, one after the other."""
    batch, kv_heads, s, d = x.shape
    group = heads // kv_heads
    return (
        x.reshape(batch, kv_heads, 1, s, d).expand(batch, kv_heads, group, s, d).reshape(batch, heads, s, d)
    )


MASKS = {
    "none": None,
    "each batch": RNG.random((2, 1, 5, 7)) < 0.7,
    "each head": RNG.random((2, 6, 5, 7)) < 0.7,
    "each head, one batch": RNG.random((1, 6, 5, 7)) < 0.7,
    "all alike": RNG.random((5, 7)) < 0.7,
    "padding": RNG.random((2, 1, 1, 7)) < 0.7,
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kv_heads", [1, 2, 3, 6])
def test_against_repeated_heads_values_and_gradients(kv_heads: int, causal: bool, mask: str) -> None:
    q, k, v = tensors(2, 6, kv_heads, 5, 7)
    given = None if MASKS[mask] is None else Tensor(MASKS[mask])
    out = grouped_attention(q, k, v, given, causal)
    expected = attention(q, repeated(k, 6), repeated(v, 6), given, causal)
    assert out.shape == (2, 6, 5, 4)
    assert np.allclose(out.data, expected.data, rtol=1e-12, atol=1e-14)
    g = Tensor(RNG.standard_normal(out.shape))
    for found, wanted in zip(grad(out, [q, k, v], g), grad(expected, [q, k, v], g), strict=True):
        assert found is not None
        assert wanted is not None
        assert np.allclose(found.data, wanted.data, rtol=1e-10, atol=1e-13)


def test_heads_of_one_group_see_the_same_keys_and_others_do_not() -> None:
    q, k, v = tensors(1, 4, 2, 3, 3)
    before = grouped_attention(q, k, v).data
    other = v.numpy()
    other[:, 1] += 1
    changed = (grouped_attention(q, k, Tensor(other)).data != before).any((0, 2, 3))
    assert changed.tolist() == [False, False, True, True]


def test_nothing_to_see_and_nothing_to_ask() -> None:
    q, k, v = tensors(2, 4, 2, 3, 0)
    assert np.array_equal(grouped_attention(q, k, v).data, np.zeros((2, 4, 3, 4)))
    q, k, v = tensors(2, 4, 2, 0, 3)
    assert grouped_attention(q, k, v).shape == (2, 4, 0, 4)
    q, k, v = tensors(0, 4, 2, 3, 3)
    assert grouped_attention(q, k, v).shape == (0, 4, 3, 4)


def test_what_does_not_fit() -> None:
    q, k, v = tensors(2, 6, 2, 3, 3)
    for heads, kv_heads in ((6, 4), (2, 6), (6, 0)):
        with pytest.raises(ShapeError, match=f"{kv_heads} heads of keys do not divide {heads} of queries"):
            grouped_attention(*tensors(2, heads, kv_heads, 3, 3))
    for keys, values in ((k[:1], v[:1]), (k, v[:, :1]), (k, v[:, :, :2]), (k[..., :2], v[..., :2])):
        with pytest.raises(ShapeError, match=r"grouped_attention: q \(2, 6, 3, 4\).*differ"):
            grouped_attention(q, keys, values)
    for wrong in ((q[0], k[0], v[0]), (q, k[0], v[0]), (q, k, v[0])):
        with pytest.raises(ShapeError):
            grouped_attention(*wrong)
    with pytest.raises(ShapeError):
        grouped_attention(q, k, v, Tensor(np.ones((2, 1, 3, 4), bool)))

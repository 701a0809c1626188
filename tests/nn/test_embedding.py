"""Embeddings and positions: values by hand, gradients of tied weights, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.nn.embedding import Embedding, Positions, embedding, sinusoidal
from tinytorch.random import Generator
from tinytorch.tensor import Tensor, zeros


def test_rows_and_their_gradient() -> None:
    weight = Tensor(np.arange(8.0).reshape(4, 2), requires_grad=True)
    out = embedding(Tensor([[2, 0], [2, 2]]), weight)
    assert out.tolist() == [[[4.0, 5.0], [0.0, 1.0]], [[4.0, 5.0], [4.0, 5.0]]]
    (out * Tensor([[[1.0], [2.0]], [[4.0], [8.0]]]).to("float64")).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[2.0, 2.0], [0.0, 0.0], [13.0, 13.0], [0.0, 0.0]]


@pytest.mark.parametrize(("ids", "word"), [([4], "out of range"), ([0, -1], "negative")])
def test_ids_without_a_row(ids: list[int], word: str) -> None:
    with pytest.raises(ShapeError, match=word):
        embedding(Tensor(ids), zeros(4, 2))


def test_ids_are_integers() -> None:
    with pytest.raises(DTypeError, match="integers"):
        embedding(Tensor([1.0]), zeros(4, 2))


def test_a_tied_head_adds_both_gradients() -> None:
    words = Embedding(5, 3, generator=Generator(0))
    ids = Tensor([1, 4])
    out = words.logits(words(ids))
    weight = words.weight.numpy()
    np.testing.assert_allclose(out.data, weight[[1, 4]] @ weight.T, rtol=1e-5)
    out.sum().backward()
    want = np.tile(weight[[1, 4]].sum(0), (5, 1))
    want[[1, 4]] += weight.sum(0)
    assert words.weight.grad is not None
    np.testing.assert_allclose(words.weight.grad.data, want, rtol=1e-5)


def test_nearest_by_direction_not_by_length() -> None:
    words = Embedding(5, 2)
    words.weight.assign_(Tensor([[1.0, 0.0], [9.0, 1.0], [0.0, 0.0], [-5.0, 0.0], [0.1, 0.1]]))
    found = words.nearest(0, k=10)
    assert [i for i, _ in found] == [1, 4, 2, 3]
    np.testing.assert_allclose([c for _, c in found], [9 / 82**0.5, 0.5**0.5, 0, -1], rtol=1e-6)
    assert words.nearest(0, k=0) == []
    for id in (-1, 5):
        with pytest.raises(ShapeError, match=str(id)):
            words.nearest(id)


def test_waves_against_the_formula() -> None:
    waves = sinusoidal(300, 6)
    assert waves.shape == (300, 6)
    assert waves.dtype == np.float32
    for p in (0, 1, 299):
        for i in range(3):
            angle = p / 10000 ** (2 * i / 6)
            np.testing.assert_allclose(
                waves.data[p, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-6
            )


def test_products_of_waves_depend_on_the_distance_alone() -> None:
    products = sinusoidal(40, 16).data.astype(float) @ sinusoidal(40, 16).data.T
    for distance in (0, 1, 7):
        diagonal = np.diagonal(products, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-5)


@pytest.mark.parametrize(("length", "dim"), [(3, 5), (-1, 4), (2, -2)])
def test_sizes_without_waves(length: int, dim: int) -> None:
    with pytest.raises(ShapeError, match="even"):
        sinusoidal(length, dim)


def test_empty_waves() -> None:
    assert sinusoidal(0, 4).shape == (0, 4)
    assert sinusoidal(3, 0).shape == (3, 0)


def test_positions_of_both_kinds() -> None:
    learned, fixed = Positions(6, 4, generator=Generator(1)), Positions(6, 4, "sinusoidal")
    assert [name for name, _ in learned.named_parameters()] == ["table"]
    assert list(fixed.named_parameters()) == []
    assert list(fixed.state_dict()) == ["table"]
    x = Generator(0).randn(2, 3, 4)
    for positions in (learned, fixed):
        table = positions.table.numpy()
        np.testing.assert_allclose(positions(x).data, x.numpy() + table[:3])
        np.testing.assert_allclose(positions(x, start=3).data, x.numpy() + table[3:])
    learned(x).sum().backward()
    assert learned.table.grad is not None
    assert learned.table.grad.data[:, 0].tolist() == [2.0] * 3 + [0.0] * 3
    assert "kind='sinusoidal'" in repr(fixed)


@pytest.mark.parametrize(
    ("shape", "start"), [((2, 7, 4), 0), ((2, 3, 4), 4), ((3, 5), 0), ((4,), 0), ((1, 4), -1)]
)
def test_positions_that_there_are_not(shape: tuple[int, ...], start: int) -> None:
    with pytest.raises(ShapeError, match="at most 6"):
        Positions(6, 4)(zeros(*shape), start)


def test_an_unknown_kind() -> None:
    with pytest.raises(ShapeError, match="rotary"):
        Positions(6, 4, "rotary")  # type: ignore[arg-type]

"""Transforms: against loops over single images, and with batches they do not take."""

import numpy as np
import pytest

from tinytorch.data import compose, normalize, random_crop, random_flip
from tinytorch.errors import DataError, DTypeError, ShapeError

X = np.random.default_rng(0).random((40, 3, 5, 4), dtype=np.float32)
Y = np.arange(40)


def rng():
    return np.random.default_rng(7)


def test_normalize_per_channel():
    mean, std = [0.1, 0.2, 0.3], [0.5, 1.0, 2.0]
    x, y = normalize(mean, std)((X, Y), rng())
    expected = np.stack([(X[:, c].astype(np.float64) - mean[c]) / std[c] for c in range(3)], axis=1)
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-6)
    assert x.dtype == np.float32
    assert y is Y


def test_random_crop_is_a_shift_with_zeros_from_outside():
    padding = 2
    x, y = random_crop(padding)((X, Y), rng())
    assert x.shape == X.shape
    padded = np.pad(X, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    places = set()
    for got, source in zip(x, padded, strict=True):
        found = [
            (i, j)
            for i in range(2 * padding + 1)
            for j in range(2 * padding + 1)
            if np.array_equal(source[:, i : i + 5, j : j + 4], got)
        ]
        assert len(found) == 1
        places.update(found)
    assert len(places) > 10
    assert {i for i, _ in places} == {j for _, j in places} == set(range(5))
    assert y is Y


def test_no_padding_changes_nothing():
    np.testing.assert_array_equal(random_crop(0)((X,), rng())[0], X)


def test_random_flip_mirrors_about_half():
    x, _ = random_flip()((X, Y), rng())
    flipped = [np.array_equal(a, b[:, :, ::-1]) for a, b in zip(x, X, strict=True)]
    kept = [np.array_equal(a, b) for a, b in zip(x, X, strict=True)]
    assert [a != b for a, b in zip(flipped, kept, strict=True)] == [True] * 40
    assert 10 < sum(flipped) < 30
    np.testing.assert_array_equal(random_flip(0.0)((X,), rng())[0], X)
    np.testing.assert_array_equal(random_flip(1.0)((X,), rng())[0], X[..., ::-1])


def test_same_generator_same_result():
    change = compose(random_crop(1), random_flip(), normalize(0.5, 0.5))
    np.testing.assert_array_equal(change((X, Y), rng())[0], change((X, Y), rng())[0])
    assert not np.array_equal(change((X, Y), rng())[0], change((X, Y), np.random.default_rng(8))[0])


def test_compose_goes_left_to_right():
    x = np.full((1, 1, 1, 1), 8.0)
    assert compose(normalize(2, 2), normalize(1, 4))((x,), rng())[0].item() == 0.5


def test_bad_options():
    for make in (lambda: normalize(0, 0), lambda: normalize([0, 0], [1, -1]), lambda: normalize([[0]], 1)):
        with pytest.raises(DataError, match="std above 0"):
            make()
    with pytest.raises(DataError, match="padding"):
        random_crop(-1)
    with pytest.raises(DataError, match="probability"):
        random_flip(1.5)


def test_bad_batches():
    with pytest.raises(ShapeError, match="give 1 or 3"):
        normalize([0, 0], [1, 1])((X,), rng())
    with pytest.raises(DTypeError, match="uint8"):
        normalize(0, 1)((X.astype(np.uint8),), rng())
    for change in (normalize(0, 1), random_crop(1), random_flip()):
        with pytest.raises(ShapeError, match="batch, channels, height, width"):
            change((X[0],), rng())
        with pytest.raises(ShapeError, match="nothing"):
            change((), rng())

"""What events are scored on: the same for all where it is plain, new for each seed where it is changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tinytorch import data
from tinytorch.benchmarking.events import EVENTS, event
from tinytorch.benchmarking.samples import disturbed, fresh, plain, read_private, transformed
from tinytorch.errors import BenchmarkError


@pytest.mark.parametrize("name", EVENTS)
def test_seeds_decide_what_is_changed_and_drawn(name: str) -> None:
    one = event(name)
    a, b, c = (transformed(one, 20, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.inputs, b.inputs)
    assert (a.inputs != c.inputs).any()
    assert (fresh(one, 20, 1, 0).inputs != fresh(one, 20, 1, 1).inputs).any()
    np.testing.assert_array_equal(plain(one, 20).inputs, plain(one, 20).inputs)
    assert a.inputs.dtype == one.inputs.dtype
    assert a.inputs.shape == (20, *one.inputs.shape[1:])


def test_plain_images_are_all_of_the_test_data() -> None:
    test = data.load("fashion", "test")
    found = plain(event("mlp_sprint"), 10_000)
    np.testing.assert_array_equal(found.inputs, test.images)
    np.testing.assert_array_equal(found.labels, test.labels)


def test_text_is_followed_by_what_stands_in_the_file() -> None:
    text = data.load("pydocs", "test").text
    for some in (plain(event("transformer_decathlon"), 5), transformed(event("transformer_decathlon"), 5, 3)):
        for row, behind in zip(some.inputs, some.labels, strict=True):
            assert bytes(row.tolist()) in text
            assert bytes([*row.tolist(), int(behind[-1])]) in text
            np.testing.assert_array_equal(row[1:], behind[:-1])


def test_images_move_by_a_pixel_at_most() -> None:
    images = np.zeros((200, 1, 9, 9), np.float32)
    images[:, 0, 4, 4] = 1.0
    moved = disturbed(images, np.random.default_rng(0))
    places = {tuple(np.unravel_index(one.argmax(), (9, 9))) for one in moved[:, 0]}
    assert places == {(y, x) for y in (3, 4, 5) for x in (3, 4, 5)}
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_an_organisers_own_images_take_the_place_of_ours(tmp_path: Path) -> None:
    one = event("mlp_sprint")
    images = np.random.default_rng(0).integers(0, 256, (7, 1, 28, 28), np.uint8)
    path = tmp_path / "private.safetensors"
    save_file({"inputs": images, "labels": np.arange(7)}, path)
    private = read_private(one, path)
    found = plain(one, 100, private)
    assert len(found) == 7
    np.testing.assert_allclose(found.inputs, images / np.float32(255))
    assert (transformed(one, 100, 1, private).labels == np.arange(7)).all()


@pytest.mark.parametrize(
    "tensors",
    [
        {"inputs": np.zeros((3, 1, 28, 28), np.float32), "labels": np.arange(3)},
        {"inputs": np.zeros((3, 1, 28, 28), np.uint8), "labels": np.arange(4)},
        {"inputs": np.zeros((3, 1, 28, 28), np.uint8), "labels": np.arange(3) + 9},
        {"labels": np.arange(3)},
    ],
)
def test_other_files_are_no_private_set(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    path = tmp_path / "private.safetensors"
    save_file(tensors, path)
    with pytest.raises(BenchmarkError, match="expected|labels are"):
        read_private(event("mlp_sprint"), path)
    with pytest.raises(BenchmarkError, match="no private set"):
        read_private(event("mlp_sprint"), tmp_path / "gone")


def test_an_organisers_own_text(tmp_path: Path) -> None:
    one = event("transformer_decathlon")
    path = tmp_path / "private.safetensors"
    save_file({"inputs": np.arange(8000).astype(np.uint8)}, path)
    assert plain(one, 10, read_private(one, path)).inputs.shape == (10, 128)
    save_file({"inputs": np.arange(80).astype(np.uint8)}, path)
    with pytest.raises(BenchmarkError, match="4,096"):
        read_private(one, path)

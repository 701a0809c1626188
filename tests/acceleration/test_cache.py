"""Programs on disk: used again, never wrongly, and never a hindrance where the disk does not play along."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ordinary_user import folder_of_an_ordinary_user, needs_permissions, permissions
from tinytorch import Tensor, no_grad
from tinytorch.acceleration import cache
from tinytorch.acceleration.native import engine
from tinytorch.acceleration.native.lower import lower
from tinytorch.acceleration.native.program import Program
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.trace import trace
from tinytorch.ops.softmax import softmax
from tinytorch.ops.spec import Array

ROOT = Path(__file__).resolve().parent.parent.parent
X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
NAME = "ab" * 32


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of our own, which is not there yet."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "programs"))
    return tmp_path / "programs"


def program_of(function: Callable[[Tensor], Tensor], x: Array = X, use_cache: bool = True) -> Program:
    with no_grad():
        return Program(lower(optimise(trace(function, [Tensor(x)]).graph)), use_cache)


def result(program: Program, x: Array = X) -> Array:
    (out,) = program.run([x], 0)
    return out


def scaled(x: Tensor) -> Tensor:
    return (x * 2.0).exp() + x


def expected(x: Array) -> Array:
    return np.exp(2 * x.astype(np.float64)) + x


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- used again


def test_a_program_is_compiled_once_and_gives_the_same_from_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = program_of(scaled)
    assert not first.from_disk
    assert [name.endswith(".program") for name in files(folder)] == [True]

    def refuse(module: object) -> bytes:
        raise AssertionError("it was compiled again")

    monkeypatch.setattr("tinytorch.acceleration.native.program.object_file", refuse)
    again = program_of(scaled)
    assert again.from_disk
    np.testing.assert_array_equal(result(again), result(first))
    np.testing.assert_allclose(result(again), expected(X), rtol=1e-6)


def test_another_process_uses_it_too(folder: Path) -> None:
    program = """
import numpy as np
from tests.acceleration.test_cache import X, program_of, result, scaled
made = program_of(scaled)
print(made.from_disk, result(made).tobytes().hex())
"""
    said = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
        for _ in range(2)
    ]
    first, second = (done.stdout.split() for done in said)
    assert (first[0], second[0]) == ("False", "True")
    assert first[1] == second[1] == result(program_of(scaled)).tobytes().hex()
    assert len(files(folder)) == 1


def test_use_is_noted(folder: Path) -> None:
    program_of(scaled)
    (path,) = folder.iterdir()
    os.utime(path, (0, 0))
    program_of(scaled)
    assert time.time() - cache.entries()[0].used < 600
    assert cache.entries()[0].nbytes == path.stat().st_size


# ---------------------------------------------------------------- never wrongly


@pytest.mark.parametrize("size", [1, 4])
def test_a_program_is_never_used_for_other_constants(size: int, folder: Path) -> None:
    """Whether code is shared or not: each has its own numbers."""
    for factor in (2.0, 3.0, 3.0, -0.5):
        numbers = np.arange(size, dtype=np.float32) + np.float32(factor)

        def function(x: Tensor, numbers: Array = numbers, factor: float = factor) -> Tensor:
            return (x * Tensor(numbers) + factor).clip(-1.0, factor + 4)

        want = np.clip(X * numbers + np.float32(factor), -1.0, factor + 4)
        np.testing.assert_allclose(result(program_of(function)), want, rtol=1e-6)


DIFFERENT: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": lambda x: x.exp() * x,
    "tanh": lambda x: x.tanh() * x,
    "clip": lambda x: x.clip(-1.0, 1.0) * x,
    "clip wider": lambda x: x.clip(-1.0, 1.5) * x,
    "sum rows": lambda x: x.sum(0),
    "sum columns": lambda x: x.sum(1),
    "sum columns, kept": lambda x: x.sum(1, keepdims=True),
    "mean": lambda x: x.mean(1),
    "product": lambda x: x @ x.T,
    "product of the transposed": lambda x: x.T @ x,
    "softmax": lambda x: softmax(x),
    "softmax of rows": lambda x: softmax(x, 0),
    "part": lambda x: x[:, 1:] * 2.0,
    "other part": lambda x: x[:, :3] * 2.0,
    "two": lambda x: (x + 1.0) @ (x * 2.0).T,
}


def test_what_differs_in_anything_has_a_fingerprint_of_its_own(folder: Path) -> None:
    found = {name: program_of(function) for name, function in DIFFERENT.items()}
    prints = {name: program.layout.fingerprint() for name, program in found.items()}
    assert len(set(prints.values())) == len(DIFFERENT)
    wider = program_of(DIFFERENT["exp"], np.ones((3, 5), np.float32))
    double = program_of(DIFFERENT["exp"], X.astype(np.float64))
    assert len({*prints.values(), wider.layout.fingerprint(), double.layout.fingerprint()}) == 2 + len(
        DIFFERENT
    )
    for name, function in DIFFERENT.items():
        again = program_of(function)
        assert again.from_disk, name
        with no_grad():
            want = function(Tensor(X)).data
        np.testing.assert_allclose(result(again), want, rtol=1e-5, atol=1e-6)


def test_sources_versions_and_the_processor_are_part_of_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(cache.__file__).parent
    copy = tmp_path / "copy"
    shutil.copytree(package, copy)
    version = cache.sources(package)
    assert cache.sources(copy) == version
    for changed in ("memory.py", "native/emit.py", "native/kernels/gemm.py"):
        text = (copy / changed).read_bytes()
        (copy / changed).write_bytes(text + b"\n")
        assert cache.sources(copy) != version
        (copy / changed).write_bytes(text)
        assert cache.sources(copy) == version
    (copy / "native" / "kernels" / "more.py").write_text("")
    assert cache.sources(copy) != version

    whole = cache.compiler_version.__wrapped__
    seen = {whole()}
    assert seen == {cache.compiler_version()}
    monkeypatch.setattr(cache, "sources", lambda folder: "other sources")
    seen.add(whole())
    monkeypatch.setattr(engine, "processor", lambda: "another processor")
    seen.add(whole())
    monkeypatch.setattr("llvmlite.__version__", "0.0.1")
    seen.add(whole())
    assert len(seen) == 4


def test_another_compiler_does_not_use_the_programs_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    program_of(scaled)
    monkeypatch.setattr("tinytorch.acceleration.native.layout.compiler_version", lambda: "another")
    assert not program_of(scaled).from_disk
    assert program_of(scaled).from_disk
    assert len(cache.entries()) == 2


# ---------------------------------------------------------------- damage

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "no head": lambda content: content[39:],
    "half": lambda content: content[: len(content) // 2],
    "last byte missing": lambda content: content[:-1],
    "a byte more": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "first byte": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "a bit in the hash": lambda content: content[:10] + bytes([content[10] ^ 128]) + content[11:],
    "a bit in the code": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    "another format": lambda content: b"TTOBJ0\n" + content[7:],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_entry_is_built_again(kind: str, folder: Path) -> None:
    program_of(scaled)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[kind](whole))
    again = program_of(scaled)
    assert not again.from_disk
    np.testing.assert_allclose(result(again), expected(X), rtol=1e-6)
    assert files(folder) == [path.name]
    assert cache.read(path.stem) is not None
    assert program_of(scaled).from_disk


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_a_byte_is_seen(data: st.DataObject, folder: Path) -> None:
    body = bytes(range(256)) * 3
    assert cache.write(NAME, body)
    assert cache.read(NAME) == body
    path = folder / f"{NAME}.program"
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert cache.read(NAME) is None
    assert not path.exists()


def test_what_is_written_is_read() -> None:
    for body in (b"", b"\0", b"code" * 100_000):
        assert cache.write(NAME, body)
        assert cache.read(NAME) == body


# ---------------------------------------------------------------- several at once

TOGETHER = """
import sys, time
from pathlib import Path
from tests.acceleration import test_cache as t
from tinytorch.acceleration import cache
kept = cache.write
def late(fingerprint, content):  # so that both are done with compiling before either has written
    Path(sys.argv[1]).touch()
    while not Path(sys.argv[2]).exists():
        time.sleep(0.005)
    return kept(fingerprint, content)
cache.write = late
made = t.program_of(t.scaled)
print(made.from_disk, t.result(made).tobytes().hex())
"""


def test_two_processes_that_compile_at_once_leave_one_whole_entry(folder: Path, tmp_path: Path) -> None:
    marks = [str(tmp_path / "first"), str(tmp_path / "second")]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, *order], cwd=ROOT, text=True, stdout=subprocess.PIPE
        )
        for order in (marks, marks[::-1])
    ]
    want = result(program_of(scaled, use_cache=False)).tobytes().hex()
    said = [process.communicate(timeout=120)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said == [["False", want], ["False", want]]
    assert len(files(folder)) == 1
    assert program_of(scaled).from_disk


def test_a_write_that_is_interrupted_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tinytorch.acceleration.cache.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        program_of(scaled)
    assert files(folder) == []
    monkeypatch.undo()


def test_a_disk_that_is_full_loses_the_caching_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinytorch.acceleration.cache.os.replace", full)
    np.testing.assert_allclose(result(program_of(scaled)), expected(X), rtol=1e-6)
    assert files(folder) == []
    assert not program_of(scaled).from_disk


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize("below", [False, True])
def test_a_folder_that_is_a_file_loses_the_caching_only(
    below: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setenv(cache.VARIABLE, str(file / "programs" if below else file))
    for _ in range(2):
        made = program_of(scaled)
        assert not made.from_disk
        np.testing.assert_allclose(result(made), expected(X), rtol=1e-6)
    assert cache.write(NAME, b"code") is False
    assert cache.read(NAME) is None
    assert file.read_text() == "in the way"


@needs_permissions
def test_a_folder_that_may_only_be_read_still_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    with folder_of_an_ordinary_user() as folder:
        monkeypatch.setenv(cache.VARIABLE, str(folder))
        program_of(scaled)
        (path,) = folder.iterdir()
        with permissions(folder, 0o500):
            assert program_of(scaled).from_disk
            assert cache.write(NAME, b"code") is False
            path.write_bytes(b"damaged")
            assert not program_of(scaled).from_disk


def test_a_file_whose_time_or_place_cannot_be_changed_still_serves(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a folder that may only be read, whoever runs this."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    program_of(scaled)
    (path,) = folder.iterdir()
    monkeypatch.setattr("tinytorch.acceleration.cache.os.utime", refused)
    assert program_of(scaled).from_disk
    path.write_bytes(b"damaged")
    monkeypatch.setattr(Path, "unlink", refused)
    assert cache.read(path.stem) is None


def test_where_programs_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.cache_folder() == tmp_path / "programs"
    monkeypatch.setenv(cache.VARIABLE, "here")
    assert cache.cache_folder() == Path.cwd() / "here"
    monkeypatch.delenv(cache.VARIABLE)
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "data"))
    assert cache.cache_folder() == tmp_path / "data" / "programs"


def test_a_program_made_without_the_cache_writes_none(folder: Path) -> None:
    made = program_of(scaled, use_cache=False)
    np.testing.assert_allclose(result(made), expected(X), rtol=1e-6)
    assert not folder.exists()

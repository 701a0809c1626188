"""Exhibits that are files: each is refused, and gets through where its defence is taken away."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from tests.museum.crafted import (
    EVENT,
    compact_file,
    entry_of,
    header_of,
    on_disk,
    refused,
    tried,
    whole_file,
    with_document,
    with_header,
)
from tinytorch.acceleration.artifact import compact, document, load, registry
from tinytorch.benchmarking import entry as entries
from tinytorch.benchmarking import recipe, worker
from tinytorch.benchmarking.entry import parse, read_entry
from tinytorch.benchmarking.events import baseline
from tinytorch.benchmarking.recipe import steps_of
from tinytorch.benchmarking.result import digest
from tinytorch.benchmarking.web.uploads import uploaded
from tinytorch.errors import BenchmarkError, ProgramError

DESCRIPTION = f'event = "{EVENT.name}"\nteam = "a team"\n'


def taken(content: bytes, folder: Path) -> Any:
    """The program in a file, as a box would take it, in this process."""
    return worker.admitted(on_disk(folder, content), EVENT)


def test_the_honest_file_is_taken(tmp_path: Path) -> None:
    assert taken(whole_file(), tmp_path).calls
    assert tried(entry_of(whole_file())).reasons == []


# ---------------------------------------------------------------- bombs


def bomb(size: int = 2**39) -> bytes:
    """A compact file of some hundred bytes that promises far more."""
    return compact_file([("zstd", size, zstandard.compress(bytes(1000)))])


def test_decompression_bomb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "at most" in refused(entry_of(bomb()))
    with pytest.raises(BenchmarkError, match="program"):
        uploaded(DESCRIPTION.encode(), bomb())
    decoded = []
    monkeypatch.setattr(compact.ways, "decode", lambda *given: decoded.append(given))
    with pytest.raises(ProgramError):
        taken(bomb(), tmp_path)
    assert decoded == [], "nothing is unpacked before sizes are added up"


def test_swollen_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = whole_file()
    header = 8 + int.from_bytes(whole[:8], "little")
    parts = [("zstd", header, zstandard.compress(whole[:header] + bytes(10**6)))]
    assert "part 0" in refused(entry_of(compact_file(parts)))

    def generous(piece: bytes, size: int, way: object) -> bytes:
        return zstandard.ZstdDecompressor().decompress(piece, max_output_size=2**30)

    monkeypatch.setattr(compact.ways, "decode", generous)
    with pytest.raises(ProgramError) as caught:
        taken(compact_file(parts), tmp_path)
    assert "part 0" not in str(caught.value)


# ---------------------------------------------------------------- one form


def doubled() -> bytes:
    """The baseline with its first tensor named twice in the header."""
    content = whole_file()
    header = header_of(content)
    name = next(key for key in header if key != "__metadata__")
    text = json.dumps(header, separators=(",", ":"))
    return with_header(
        content, text[:-1] + f',"{name}":' + json.dumps(header[name], separators=(",", ":")) + "}"
    )


FORMS = {"twin_tensor": doubled, "trailing_bytes": lambda: whole_file() + b"more"}


@pytest.mark.parametrize("name", FORMS)
def test_twin_tensor_and_trailing_bytes(name: str) -> None:
    assert (
        "table of tensors" in (said := refused(entry_of(FORMS[name]()))) or "follow the last tensor" in said
    )


@pytest.mark.parametrize("name", FORMS)
def test_twin_tensor_and_trailing_bytes_unseen(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load.container, "check_header", lambda *given: None)
    assert taken(FORMS[name](), tmp_path).calls


def test_other_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spaced = with_document(whole_file(), lambda text: text.replace('"stateless":true', '"stateless": true'))
    assert "one form" in refused(entry_of(spaced))
    monkeypatch.setattr(load, "decode", lambda text: msgspec.json.decode(text, type=document.Document))
    monkeypatch.setattr(load.container, "check_header", lambda *given: None)
    assert taken(spaced, tmp_path).calls


def test_newer_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = with_document(whole_file(), lambda text: text.replace('"version":1', '"version":9'))
    assert "newer TinyTorch" in refused(entry_of(newer))
    monkeypatch.setattr(document, "VERSION", 9)
    with pytest.raises(ProgramError) as caught:
        taken(newer, tmp_path)
    assert "newer TinyTorch" not in str(caught.value)


@pytest.mark.parametrize("name", ["os.system", "__import__('os').system('true')", "eval"])
def test_foreign_op(name: str) -> None:
    foreign = with_document(whole_file(), lambda text: text.replace('"op":"relu"', f'"op":"{name}"', 1))
    assert "no op named" in refused(entry_of(foreign))


def test_foreign_op_on_an_open_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = with_document(whole_file(), lambda text: text.replace('"op":"relu"', '"op":"eval"'))
    monkeypatch.setitem(registry.OPS, "eval", registry.OPS["relu"])
    monkeypatch.setattr(load.container, "check_header", lambda *given: None)
    assert taken(foreign, tmp_path).calls


# ---------------------------------------------------------------- where files are


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "..", ".hidden", "a\\\\b"])
def test_path_in_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "e.toml").write_text(DESCRIPTION + f'program = "{name}"\n')
    (tmp_path / "secret").write_text("of somebody else")
    with pytest.raises(BenchmarkError, match="without folders"):
        read_entry(tmp_path / "in" / "e.toml")


def test_path_in_name_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_FILE", entries.re.compile(".*"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "e.toml").write_text(DESCRIPTION + 'program = "../secret"\n')
    (tmp_path / "secret").write_text("of somebody else")
    assert read_entry(tmp_path / "in" / "e.toml").program == b"of somebody else"


def test_link_and_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("of somebody else")
    (tmp_path / "link.ttc").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe.ttc")
    for name in ("link.ttc", "pipe.ttc"):
        with pytest.raises(BenchmarkError):
            read_entry(tmp_path / name, EVENT.name)
    monkeypatch.setattr(os, "O_NOFOLLOW", 0)
    assert read_entry(tmp_path / "link.ttc", EVENT.name).program == b"of somebody else"


def test_late_swap(tmp_path: Path) -> None:
    path = on_disk(tmp_path, whole_file())
    entry = read_entry(path, EVENT.name)
    path.write_bytes(b"another program")
    found = tried(entry)
    assert found.reasons == []
    assert digest(found.canonical) == digest(baseline(EVENT.name))


# ---------------------------------------------------------------- descriptions

LOUD = {
    "a tag": 'team = "<script>"',
    "an escape": 'team = "t"\ndescription = "\\u001b]0;title\\u0007"',
    "a direction": 'team = "t"\ndescription = "\\u202egnp.ttc"',
    "a line": 'team = "t"\ndescription = "two\\nlines"',
}


@pytest.mark.parametrize("name", LOUD)
def test_loud_description(name: str) -> None:
    with pytest.raises(BenchmarkError, match="letters|printable"):
        parse(f'event = "{EVENT.name}"\n{LOUD[name]}'.encode())


def test_loud_description_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_TEAM", entries.re.compile(".*"))
    assert parse(f'event = "{EVENT.name}"\nteam = "<script>"'.encode()).team == "<script>"


def test_recipe_with_code(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = DESCRIPTION + 'division = "closed"\n'
    with pytest.raises(BenchmarkError, match="no program"):
        parse((closed + 'program = "mine.ttc"').encode())
    for step in ('kind = "python"', 'kind = "train"\nepochs = 10000', 'kind = "train"\nfile = "/etc/passwd"'):
        text = parse(f"{closed}[[steps]]\n{step}".encode())
        with pytest.raises(BenchmarkError):
            steps_of(text.steps)
    monkeypatch.setattr(recipe, "MOST_EPOCHS", 10**6)
    assert steps_of([{"kind": "train", "epochs": 10000}])

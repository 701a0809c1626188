"""Entries from outside: what is whole is taken, anything else is one line, and nothing is followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.benchmarking.entry import Entry, described, parse, read_entry
from tinytorch.benchmarking.recipe import MOST_EPOCHS, steps_of
from tinytorch.errors import BenchmarkError

OPEN = 'event = "mlp_sprint"\nteam = "a team"\nprogram = "a.ttc"\n'


def test_an_open_entry_is_its_description_and_its_program(tmp_path: Path) -> None:
    (tmp_path / "a.ttc").write_bytes(b"program")
    (tmp_path / "e.toml").write_text(OPEN)
    found = read_entry(tmp_path / "e.toml")
    assert found.program == b"program"
    assert not found.closed
    assert found.description.team == "a team"
    with pytest.raises(BenchmarkError, match="not of cnn_marathon"):
        read_entry(tmp_path / "e.toml", "cnn_marathon")


def test_a_program_alone_needs_its_event(tmp_path: Path) -> None:
    (tmp_path / "a.ttc").write_bytes(b"program")
    assert read_entry(tmp_path / "a.ttc", "mlp_sprint") == Entry(
        described({"event": "mlp_sprint", "team": "local"}), b"program"
    )
    with pytest.raises(BenchmarkError, match="does not say its event"):
        read_entry(tmp_path / "a.ttc")


def test_a_closed_entry_is_its_steps(tmp_path: Path) -> None:
    text = 'event = "mlp_sprint"\nteam = "t"\ndivision = "closed"\n[[steps]]\nkind = "quantize"\n'
    (tmp_path / "e.toml").write_text(text)
    found = read_entry(tmp_path / "e.toml")
    assert found.closed
    assert found.text == text
    assert steps_of(found.description.steps)[0].scheme == "int8"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ('event = "chess"\nteam = "t"', "there is no event"),
        ('event = "mlp_sprint"\nteam = ""', "team"),
        ('event = "mlp_sprint"\nteam = "\\u202Egnp"', "team"),
        ('event = "mlp_sprint"\nteam = "t"\ndescription = "\\u001b[2J"', "printable"),
        ('event = "mlp_sprint"\nteam = "t"\nwidth = 3', "unknown field"),
        ('event = "mlp_sprint"\nteam = "t"\nprogram = "../a"', "without folders"),
        ('event = "mlp_sprint"\nteam = "t"\nprogram = "/etc/passwd"', "without folders"),
        ('event = "mlp_sprint"\nteam = "t"\nprogram = "..\\\\a"', "without folders"),
        ('event = "mlp_sprint"\nteam = "t"\ndivision = "closed"\nprogram = "a"', "no program"),
        ('event = "mlp_sprint"\nteam = "t"\n[[steps]]\nkind = "train"', "closed division"),
        ("event = 7", "description"),
        ("event = [", "no TOML"),
        ("x = " + "[" * 5000, "no TOML"),
    ],
)
def test_what_is_no_description_is_one_line(change: str, complaint: str) -> None:
    with pytest.raises(BenchmarkError, match=complaint) as caught:
        parse(change.encode())
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_description_or_an_error(content: bytes) -> None:
    with pytest.raises(BenchmarkError):
        parse(content)


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([{"kind": "exec", "code": "1"}], "step 1"),
        ([{"kind": "prune"}], "step 1"),
        ([{"kind": "train", "epochs": MOST_EPOCHS + 1}], "at most"),
        ([{"kind": "train", "epochs": 40}, {"kind": "share", "epochs": 40}], "80 epochs"),
        ([{"kind": "train", "epochs": -1}], "below 0"),
        ([{"kind": "train", "path": "/etc"}], "unknown field"),
        ([{}], "step 1"),
    ],
)
def test_what_is_no_step_is_refused(steps: list[dict[str, object]], complaint: str) -> None:
    with pytest.raises(BenchmarkError, match=complaint):
        steps_of(steps)


def test_only_ordinary_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"program")
    (tmp_path / "link.ttc").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe.ttc")
    (tmp_path / "folder.ttc").mkdir()
    for name in ("link.ttc", "pipe.ttc", "folder.ttc", "gone.ttc"):
        with pytest.raises(BenchmarkError, match="cannot be read|no ordinary file"):
            read_entry(tmp_path / name, "mlp_sprint")

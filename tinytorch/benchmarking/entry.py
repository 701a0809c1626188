"""Entries: a small TOML file, and beside it a program (open) or in it a list of steps (closed)."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tinytorch.benchmarking.events import LARGEST, event
from tinytorch.benchmarking.result import Division
from tinytorch.errors import BenchmarkError

MOST_TOML = 64 * 1024
"""Bytes of an entry's description."""
MOST_LINE, MOST_STEPS = 200, 16
_TEAM = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _.-]{0,38}[A-Za-z0-9])?")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
LOCAL = "local"
"""The team of a program that comes without a description."""


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The TOML file of an entry.

    `declared`: techniques that leave no trace in a program. `program`: for the open division, the name of a
    file beside this one. `steps`: for the closed division, what is done to the baseline, in order.
    """

    event: str
    team: str
    division: Division = "open"
    description: str = ""
    declared: tuple[str, ...] = ()
    program: str = ""
    steps: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Entry:
    """An entry that is whole, as far as its description goes. `program`: the bytes of its file, unchecked; of
    a closed one the runner makes them. `text`: its description as it came.
    """

    description: Description
    program: bytes = b""
    text: str = ""

    @property
    def closed(self) -> bool:
        """Whether it is a recipe that the runner follows."""
        return self.description.division == "closed"


def read_entry(path: str | Path, event_name: str | None = None) -> Entry:
    """The entry in a TOML file, or an open one that is a program file alone, for the event named.

    Nothing in the file is run or used yet. Raises BenchmarkError for what is missing, too large, no ordinary
    file, or says what no entry can.
    """
    path = Path(path)
    if path.suffix != ".toml":
        if event_name is None:
            raise BenchmarkError(
                f"{path}: a program alone does not say its event: name it, or give a .toml file"
            )
        return Entry(described({"event": event_name, "team": LOCAL}), read_file(path, LARGEST))
    text = read_file(path, MOST_TOML)
    found = parse(text)
    if event_name is not None and found.event != event_name:
        raise BenchmarkError(f"{path}: an entry of {found.event}, not of {event_name}")
    if found.division == "closed":
        return Entry(found, text=text.decode())
    return Entry(found, read_file(path.parent / found.program, LARGEST), text.decode())


def parse(text: bytes) -> Description:
    """The description in the bytes of a TOML file; raises BenchmarkError in one line."""
    if len(text) > MOST_TOML:
        raise BenchmarkError(f"a description of {len(text):,} bytes; at most {MOST_TOML:,}")
    try:
        given = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BenchmarkError(f"no TOML: {_line(error)}") from None
    return described(given)


def described(given: dict[str, Any]) -> Description:
    """The description in plain data, all of it checked; raises BenchmarkError."""
    try:
        found = msgspec.convert(given, Description)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BenchmarkError(
            f"description: {_line(error)}; it holds {', '.join(Description.__struct_fields__)}"
        ) from None
    event(found.event)
    if not _TEAM.fullmatch(found.team):
        raise BenchmarkError(
            f"team {_line(found.team)!r}: 1 to 40 letters A to Z, digits, and spaces, dots, - or _ between"
        )
    for what in (found.description, *found.declared):
        if len(what) > MOST_LINE or not what.isprintable():
            raise BenchmarkError(f"{_line(what)!r}: one line of at most {MOST_LINE} printable characters")
    if len(found.declared) > MOST_STEPS or len(found.steps) > MOST_STEPS:
        raise BenchmarkError(f"at most {MOST_STEPS} declared techniques, and as many steps")
    if found.division == "closed" and (found.program or found.declared):
        raise BenchmarkError("a closed entry is its steps: it has no program and declares nothing")
    if found.division == "open" and found.steps:
        raise BenchmarkError('steps belong to the closed division: say division = "closed"')
    if found.program and not _FILE.fullmatch(found.program):
        raise BenchmarkError(
            f"program {_line(found.program)!r}: the name of a file beside the description, without folders"
        )
    return found


def read_file(path: Path, most: int) -> bytes:
    """The bytes of an ordinary file, read once; raises BenchmarkError for others, and above `most` bytes.

    What is checked afterwards is these bytes, so that a file that changes meanwhile changes nothing.
    """
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        handle = os.open(path, flags)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise BenchmarkError(f"{path}: no ordinary file")
            content = file.read(most + 1)
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(content) > most:
        raise BenchmarkError(f"{path}: more than {most:,} bytes; that is the limit of an entry")
    return content


def _line(error: object) -> str:
    text = " ".join(str(error).split())[:120]
    return "".join(letter if letter.isprintable() else "?" for letter in text)

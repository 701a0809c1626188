"""Compiled programs on disk: object files by fingerprint, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tinytorch.data.registry import data_folder
from tinytorch.errors import ProgramError

VARIABLE = "TINYTORCH_CACHE"
"""Environment variable that names the folder."""
_MAGIC = b"TTOBJ1\n"
_ENDING, _PART = ".program", ".program-part"
CHOICES = "choices.json"
"""The file that says which kernels are fastest on this machine."""
_OURS = re.compile(rf"[0-9a-f]{{64}}{re.escape(_ENDING)}|.+{re.escape(_PART)}|{re.escape(CHOICES)}")


def cache_folder() -> Path:
    """Where programs are kept: TINYTORCH_CACHE, or `programs` in the user's cache folder.

    >>> cache_folder().is_absolute()
    True
    """
    chosen = os.environ.get(VARIABLE)
    return (Path(chosen) if chosen else data_folder() / "programs").absolute()


# ---------------------------------------------------------------- whose programs they are


@cache
def compiler_version() -> str:
    """A hash of the compiler's own sources, of the versions it stands on, and of this CPU.

    A program made by other code, or for another processor, must never run.
    """
    import llvmlite

    from tinytorch.acceleration.native.engine import processor

    versions = (llvmlite.__version__, np.__version__, str(sys.implementation.cache_tag), processor())
    return hashlib.sha256("\n".join((sources(Path(__file__).parent), *versions)).encode()).hexdigest()


def sources(folder: Path) -> str:
    """A hash of the compiler's files below `folder`, their names and contents."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.py"), *folder.glob("native/**/*.py")]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


# ---------------------------------------------------------------- one program


def read(fingerprint: str) -> bytes | None:
    """The object file kept under a fingerprint, or None; a damaged one is removed where that is allowed.

    >>> read("0" * 64) is None
    True
    """
    path = cache_folder() / (fingerprint + _ENDING)
    try:
        content = path.read_bytes()
    except OSError:
        return None
    head, body = content[: len(_MAGIC) + 32], content[len(_MAGIC) + 32 :]
    whole = head == _MAGIC + hashlib.sha256(body).digest()
    with contextlib.suppress(OSError):  # a folder that cannot be written still serves
        if whole:
            os.utime(path)
        else:
            path.unlink(missing_ok=True)
    return body if whole else None


def write(fingerprint: str, content: bytes) -> bool:
    """Keep an object file; False where the folder cannot be written. Safe beside other processes."""
    return keep(fingerprint + _ENDING, _MAGIC + hashlib.sha256(content).digest() + content)


def keep(name: str, content: bytes) -> bool:
    """Write a file of the cache, whole or not at all; False where the folder cannot be written."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=folder, suffix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(part, folder / name)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
    except OSError:
        return False
    return True


# ---------------------------------------------------------------- all of them


@dataclass(frozen=True)
class Entry:
    """A program in the cache: its fingerprint, bytes on disk, and when it was last used, in seconds."""

    name: str
    nbytes: int
    used: float


def entries() -> list[Entry]:
    """What the cache holds, the last used first; raises ProgramError for a folder that cannot be read."""
    found = [Entry(Path(name).stem, size, used) for name, size, used in _files() if name.endswith(_ENDING)]
    return sorted(found, key=lambda entry: -entry.used)


def clear() -> tuple[int, int]:
    """Remove all programs, and what writing left half done: how many they were, and bytes in all.

    Raises ProgramError for a folder that cannot be read or written; what was removed by then is gone.
    """
    folder, count, total = cache_folder(), 0, 0
    for name, size, _ in _files():
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise ProgramError(
                f"{folder}: {name} cannot be removed ({error.strerror or error}); "
                f"{count} programs were removed before it. Remove the folder as its owner."
            ) from error
        count += name.endswith(_ENDING)
        total += size
    return count, total


def _files() -> list[tuple[str, int, float]]:
    """Name, bytes and time of last use of each file of the cache; others in its folder are left alone."""
    folder, found = cache_folder(), []
    try:
        with os.scandir(folder) as those:
            for one in those:
                if _OURS.fullmatch(one.name):
                    try:
                        status = one.stat()
                    except FileNotFoundError:  # another process has just removed it
                        continue
                    found.append((one.name, status.st_size, status.st_mtime))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ProgramError(
            f"{folder}: the folder of programs cannot be read ({error.strerror or error}). "
            f"Name another one in {VARIABLE}."
        ) from error
    return found

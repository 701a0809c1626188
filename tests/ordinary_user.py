"""Tests of permissions of folders, which do not bind root: root becomes another user meanwhile."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@contextmanager
def folder_of_an_ordinary_user() -> Iterator[Path]:
    """An empty folder that every user can reach, unlike pytest's own."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place)


@contextmanager
def permissions(folder: Path, mode: int) -> Iterator[None]:
    """A folder with a mode, for a user whom it binds: root gives it to one, and is that user meanwhile."""
    was_root = os.geteuid() == 0
    if was_root:
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY, -1)
    folder.chmod(mode)
    try:
        if was_root:
            os.seteuid(NOBODY)
        yield
    finally:
        if was_root:
            os.seteuid(0)
        folder.chmod(0o700)


needs_permissions = pytest.mark.skipif(os.name == "nt", reason="folders have no such permissions there")

"""Heads: how far the chain of a store had come, noted beside the key, where the database does not reach."""

from __future__ import annotations

import json
from pathlib import Path

from tinytorch.errors import BenchmarkError, CheckpointError
from tinytorch.training.files import write_whole


class Heads:
    """A folder with a small file for each store. After a crash a head may lag behind; it never leads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def note(self, store: str, count: int, hash: str) -> None:
        """Remember the head, unless a later one is known; raises BenchmarkError where that fails."""
        known = self.known(store)
        if known is not None and known[0] >= count:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._path(store), json.dumps({"count": count, "hash": hash}).encode())
        except (OSError, CheckpointError) as error:
            raise BenchmarkError(f"{self.folder}: the head of the store cannot be noted: {error}") from error

    def known(self, store: str) -> tuple[int, str] | None:
        """Count and last hash of a store as they were noted; raises BenchmarkError for a damaged file."""
        path = self._path(store)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return int(found["count"]), str(found["hash"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(f"{path}: damaged: {error}. `tito bench verify`, then remove it") from error

    def _path(self, store: str) -> Path:
        return self.folder / f"{store}.json"

"""Running tasks of `worker` in boxes: one process each, with limits, and a folder of what it may read."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from tinytorch.errors import BenchmarkError
from tinytorch.ops.spec import Array
from tinytorch.sandbox import sandbox
from tinytorch.sandbox.files import python_path

PACKAGE = Path(__file__).resolve().parents[1]
KEPT = {"programs": "TINYTORCH_CACHE", "numba": "NUMBA_CACHE_DIR"}
"""Folders of a box in which compilers keep what they make, and the variables that say so."""
PLAIN = {"PYTHONHASHSEED": "0"}
_COMPILED = re.compile(rf"cache ({'|'.join(KEPT)})(/[A-Za-z0-9_][\w.-]*){{1,2}}", re.ASCII)
MOST_SENT = 512 * sandbox.MIB
NEEDED = ("namespaces", "own root folder", "Landlock", "seccomp")
"""Protections without which a result says that it was not isolated: a network or files may be in reach."""


class RefusedError(BenchmarkError):
    """What an entry did wrong, as a worker found it: the entry is invalid, and the runner is well."""


@dataclass
class Boxes:
    """A folder with the files of one measurement, and the boxes that read it.

    `missing`: protections that this machine lacks, as the boxes found them. `strict` refuses to run then.
    """

    folder: Path
    strict: bool = False
    seconds: float = 60.0
    memory: int = 4096 * sandbox.MIB
    missing: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, content: bytes | Mapping[str, Array]) -> str:
        """Write a file that boxes can read, and return its path."""
        path = self.folder / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            save_file(dict(content), path)
        path.chmod(0o644)
        return str(path)

    def run(self, mode: str, **task: Any) -> tuple[dict[str, Any], dict[str, Array]]:
        """Have a task done in a box of its own; raises RefusedError where the entry is at fault."""
        compiled = self.folder / "compiled"
        task |= {"mode": mode, "cache": str(compiled) if compiled.is_dir() else ""}
        start = PACKAGE / "benchmarking" / "worker_start.py"
        folders = json.dumps([str(PACKAGE.parent), *python_path()])
        outcome = sandbox.run(
            [str(Path(sys.executable).resolve()), "-I", "-S", "-B", str(start), folders, "{sent}"],
            read=[PACKAGE, self.folder],
            limits=sandbox.Limits(self.seconds, self.seconds, self.memory, threads=16),
            stdin=json.dumps(task).encode(),
            environment={**{name: f"/proc/self/cwd/{folder}" for folder, name in KEPT.items()}, **PLAIN},
            most_sent=MOST_SENT,
        )
        self.missing |= outcome.missing
        if self.strict and not self.isolated:
            raise BenchmarkError(
                f"strict: this machine cannot isolate an entry: {'; '.join(self.lacking())}. "
                'Run without --strict; results then say "not isolated"'
            )
        if outcome.ending != "exit" or outcome.code:
            said = outcome.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise RefusedError(f"{mode}: the process was {outcome}{': ' + said[0][:200] if said else ''}")
        return _answer(outcome.sent, mode)

    def side_by_side(self, *tasks: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Array]]]:
        """Several tasks, each in its box, at the same time: for what is not timed."""
        with ThreadPoolExecutor(len(tasks)) as pool:
            return list(pool.map(lambda task: self.run(**task), tasks))

    def lacking(self) -> list[str]:
        """Protections that are needed for "isolated" and were not to be had, with the reasons."""
        return [f"{name} ({self.missing[name]})" for name in NEEDED if name in self.missing]

    @property
    def isolated(self) -> bool:
        """Whether all boxes so far had all that is needed."""
        return not self.lacking()

    def keep_compiled(self, arrays: Mapping[str, Array]) -> None:
        """Give what one box compiled to those that come after it: only boxes run it.

        What came first stays, so that no entry's box says what the baseline's programs are.
        """
        for name, array in arrays.items():
            place = f"compiled/{name.removeprefix('cache ')}"
            if _COMPILED.fullmatch(name) and not (self.folder / place).exists():
                self.put(place, array.tobytes())

    def compiled(self) -> dict[str, Array]:
        """All of that, for the boxes of another measurement."""
        root = self.folder / "compiled"
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return {
            f"cache {path.relative_to(root).as_posix()}": np.frombuffer(path.read_bytes(), np.uint8)
            for path in files
        }


def _answer(sent: bytes, mode: str) -> tuple[dict[str, Any], dict[str, Array]]:
    try:
        arrays = load(sent)
        length = int.from_bytes(sent[:8], "little")
        answer = json.loads(json.loads(sent[8 : 8 + length])["__metadata__"]["answer"])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{mode}: the box gave no whole answer: {error}") from None
    if "refused" in answer:
        raise RefusedError(str(answer["refused"]))
    return answer, arrays


@contextmanager
def boxes(strict: bool = False, seconds: float = 60.0) -> Iterator[Boxes]:
    """A folder for one measurement, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tinymlperf-") as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        yield Boxes(folder, strict, seconds)


@functools.cache
def runner_hash() -> str:
    """A hash of all of this package's code: what measured is part of what was measured."""
    found = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        content = path.read_bytes()
        found.update(f"{path.relative_to(PACKAGE).as_posix()} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()

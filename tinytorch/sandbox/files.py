"""What a program in a box may read: Python, installed packages, system libraries, but no copy of ours."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

SITES = ("site-packages", "dist-packages")
DEPTH = 3  # folders below a library folder in which a copy of the package could be installed


@cache
def always() -> tuple[Path, ...]:
    """What a Python program needs: the system's libraries, this Python, the packages installed beside it."""
    return tuple(_outermost([*_system_files(), *_python_files()]))


def beside(paths: Sequence[Path]) -> list[Path]:
    """Those of the paths that exist and are not in `always`, resolved."""
    known = set(always())
    return [path for path in _outermost(paths) if not known.intersection([path, *path.parents])]


@cache
def python_path() -> tuple[str, ...]:
    """What `sys.path` must hold in the box beside the place of the package's copy."""
    outside = {str(Path(path).resolve()) for path in sys.path if path}
    standard = Path(sysconfig.get_path("stdlib")).resolve()
    sites = [path for path in outside if Path(path).name in SITES]
    return (str(standard), str(standard / "lib-dynload"), *sorted(sites))


def top_links() -> list[tuple[str, str]]:
    """Links at the top that lead into /usr, such as /lib64, in which programs look for the loader."""
    tops = [Path(name) for name in ("/lib", "/lib64") if Path(name).is_symlink()]
    return [(str(top), os.readlink(top)) for top in tops]


def _python_files() -> list[Path]:
    paths = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [Path(entry) for entry in sys.path if Path(entry).name in SITES]
    paths += [Path(sys.executable).resolve(), *Path(sys.base_prefix).glob("lib*/libpython*")]
    return [part for path in _outermost(paths) for part in without_ours(path)]


def _system_files() -> list[Path]:
    folders = ("/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/alternatives")
    linux = [Path(name) for name in (*folders, "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd")]
    places = linux if sys.platform == "linux" else [Path("/usr"), Path("/System")]
    return [part for place in places if place.exists() for part in without_ours(place)]


def without_ours(path: Path, depth: int = DEPTH) -> Iterator[Path]:
    """A path, or those of the paths in it that hold no installed copy of our package and no trace of one."""
    patterns = [f"{'*/' * level}*tinytorch*" for level in range(depth)]
    found = {p for pattern in patterns for p in path.glob(pattern)} if path.is_dir() else set()
    if not found:
        yield path
        return
    for part in path.iterdir():
        if "tinytorch" not in part.name:
            yield from without_ours(part, depth - 1) if any(part in p.parents for p in found) else (part,)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """The paths that exist, resolved, without those that lie in another of them."""
    kept: set[Path] = set()
    for path in sorted({path.resolve() for path in paths if path.exists()}):
        if not kept.intersection(path.parents):
            kept.add(path)
    return sorted(kept)

"""The one list of data sets: their names, their facts, and how to load or get them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, overload

from tinytorch.data.corpus import TextCorpus
from tinytorch.data.images import ImageSet
from tinytorch.data.sets import cifar10, digits, fashion, mnist, pydocs
from tinytorch.data.sets.base import SPLITS, EmbeddedSet, Info, OutsideSet
from tinytorch.errors import DataError

if TYPE_CHECKING:
    from tinytorch.data.download import Progress

ImageName = Literal["digits", "fashion", "fashion-full", "mnist", "cifar10"]

_SETS: Mapping[str, EmbeddedSet | OutsideSet] = MappingProxyType(
    {
        s.info.name: s
        for s in (digits.SET, fashion.SET, mnist.FASHION_FULL, mnist.MNIST, cifar10.SET, pydocs.SET)
    }
)


def names() -> list[str]:
    """Return the names of all data sets.

    >>> names()
    ['digits', 'fashion', 'fashion-full', 'mnist', 'cifar10', 'pydocs']
    """
    return list(_SETS)


def info(name: str) -> Info:
    """Return the facts of a data set; raises DataError for an unknown name.

    >>> info("fashion").splits["train"]
    10000
    """
    return _named(name).info


@overload
def load(name: Literal["pydocs"], split: str = ...) -> TextCorpus: ...
@overload
def load(name: ImageName, split: str = ..., *, folder: str | os.PathLike[str] | None = ...) -> ImageSet: ...
@overload
def load(
    name: str, split: str = ..., *, folder: str | os.PathLike[str] | None = ...
) -> ImageSet | TextCorpus: ...
def load(
    name: str, split: str = "train", *, folder: str | os.PathLike[str] | None = None
) -> ImageSet | TextCorpus:
    """Return one split ("train", "validation" or "test") of a data set.

    A set that does not ship with the package is read from `folder`, or else from the first place that has
    it: the folder TINYTORCH_DATA names, the system's, the user's cache. Raises DataError for an unknown
    name or split, a set that is not there (saying how to get it), and files that are damaged or of another
    set.

    >>> load("digits", "test").batch([0])[0].shape
    (1, 1, 8, 8)
    """
    entry = _named(name)
    if split not in SPLITS:
        raise DataError(f"{name}: there is no split {split!r}; choose from {', '.join(SPLITS)}")
    if isinstance(entry, OutsideSet):
        return entry.read(split, locate(name) if folder is None else Path(folder))
    if folder is not None:
        raise DataError(f"{name}: ships with the package and takes no folder; leave it out")
    return entry.read(split)


def locate(name: str) -> Path:
    """Return the folder that holds a set that does not ship with the package.

    Raises DataError when no folder has it.
    """
    entry = _outside(name)
    folders = [data_folder() / name, data_folder(), *entry.system_folders]
    for folder in folders:
        if entry.find(folder) is not None:
            return folder
    raise DataError(
        f"{name}: not on this machine; `tito data get {name}` downloads it, "
        f"`tito data get {name} --from DIR` takes it from a folder"
    )


def get(
    name: str,
    source: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    mirror: str | None = None,
) -> Path:
    """Put a set into the user's data folder and return where: from the folder `source`, or by download.

    Files of a folder are read and checked before they are copied. `mirror` is the address of a folder to
    download from instead of the publisher's; checksums stay the publisher's. Raises DataError, leaving no
    half-written file.
    """
    from tinytorch.data.download import download  # what fetches takes longer to import than all data does

    entry = _outside(name)
    target = data_folder() / name
    if source is not None:
        return _copy(entry, Path(source), target)
    for remote in entry.remotes:
        url = remote.url if mirror is None else f"{mirror.rstrip('/')}/{remote.file}"
        try:
            download(url, target / remote.file, remote.md5, progress)
        except DataError as error:
            raise DataError(f"{error}; or `tito data get {name} --from DIR` for files you have") from error
    return target


def data_folder() -> Path:
    """Return where sets are kept: TINYTORCH_DATA, or else the user's cache folder."""
    chosen = os.environ.get("TINYTORCH_DATA")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tinytorch"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinytorch"


def _copy(entry: OutsideSet, source: Path, target: Path) -> Path:
    for split in ("train", "test"):
        entry.read(split, source)
    target.mkdir(parents=True, exist_ok=True)
    for file in entry.find(source) or []:
        handle, temporary = tempfile.mkstemp(dir=target, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as out, file.open("rb") as original:
                shutil.copyfileobj(original, out)
                out.flush()
                os.fsync(out.fileno())
            Path(temporary).replace(target / file.name)
        except OSError as error:
            Path(temporary).unlink(missing_ok=True)
            raise DataError(f"{target / file.name}: cannot be written ({error}); free some space") from error
    return target


def _named(name: str) -> EmbeddedSet | OutsideSet:
    try:
        return _SETS[name]
    except KeyError:
        raise DataError(f"there is no data set {name!r}; choose from {', '.join(_SETS)}") from None


def _outside(name: str) -> OutsideSet:
    entry = _named(name)
    if isinstance(entry, EmbeddedSet):
        raise DataError(f"{name}: ships with the package; there is nothing to get, load it")
    return entry

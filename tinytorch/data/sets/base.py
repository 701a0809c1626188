"""What every data set says of itself, and what those of one family share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinytorch.data.corpus import TextCorpus
from tinytorch.data.embedded import read_embedded
from tinytorch.data.idx import parse_idx
from tinytorch.data.images import ImageSet
from tinytorch.errors import DataError

SPLITS = ("train", "validation", "test")
DIGITS = tuple("0123456789")
DATASHEETS = Path(__file__).resolve().parent.parent / "datasheets"


@dataclass(frozen=True)
class Remote:
    """A file to download: its name, its address, and the MD5 that its publisher states."""

    file: str
    url: str
    md5: str


@dataclass(frozen=True)
class Info:
    """A data set's facts. `splits` counts images, or bytes of text."""

    name: str
    title: str
    kind: str
    licence: str
    source: str
    splits: Mapping[str, int]
    classes: tuple[str, ...] = ()
    embedded: bool = True

    @property
    def datasheet(self) -> str:
        """The set's datasheet in Markdown: source, licence, counts, checksums, how built, known limits."""
        return (DATASHEETS / f"{self.name}.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class EmbeddedSet:
    """A set that ships with the package."""

    info: Info
    read: Callable[[str], ImageSet | TextCorpus]


@dataclass(frozen=True)
class OutsideSet:
    """A set whose files lie in a folder: `find` returns those it needs there, or None when one is missing."""

    info: Info
    read: Callable[[str, Path], ImageSet]
    find: Callable[[Path], list[Path] | None]
    remotes: tuple[Remote, ...]
    system_folders: tuple[Path, ...] = field(default=())


def embedded_images(name: str, split: str, classes: tuple[str, ...], white: int = 255) -> ImageSet:
    """Return a split of a shipped image set, whose archive holds a pair of IDX files for each split."""
    members = read_embedded(name)
    pixels = parse_idx(members[f"{split}-images-idx3-ubyte"], 3, f"{name} {split} images")
    labels = parse_idx(members[f"{split}-labels-idx1-ubyte"], 1, f"{name} {split} labels")
    return ImageSet(name, split, pixels[:, None], labels, classes, white)


def held_out(labels: NDArray[np.uint8], per_class: int) -> NDArray[np.bool_]:
    """Return a mask of the last `per_class` samples of each class: the validation split of a training set."""
    mask = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        mask[np.flatnonzero(labels == label)[-per_class:]] = True
    return mask


def check_counts(name: str, labels: NDArray[np.uint8], expected: tuple[int, ...], where: object) -> None:
    """Raise DataError unless labels occur as often as in the published set: sets share their file names."""
    counts = np.bincount(labels, minlength=len(expected)).tolist()
    if counts != list(expected):
        shown = (
            f"labels up to {labels.max()}"
            if len(counts) > len(expected)
            else f"{counts} images of each class"
        )
        raise DataError(f"{where}: {shown}, where {name} has {list(expected)}; is it another data set?")

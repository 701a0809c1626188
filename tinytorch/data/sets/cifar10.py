"""cifar10: 60,000 colour images of 32x32, the binary version, from a folder, its archive or by download."""

import tarfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinytorch.data.images import ImageSet
from tinytorch.data.sets.base import Info, OutsideSet, Remote, check_counts, held_out
from tinytorch.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = "cifar-10-binary.tar.gz"
INNER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_FILES = ("test_batch.bin",)
RECORD = 1 + 3 * 32 * 32  # a label, then the red, green and blue planes
FILE_BYTES = 10_000 * RECORD
VALIDATION_PER_CLASS = 500


def find(folder: Path) -> list[Path] | None:
    """Return the six .bin files of a folder, or its archive, or None when neither is there."""
    for place in (folder, folder / INNER):
        files = [place / name for name in (*TRAIN_FILES, *TEST_FILES)]
        if all(file.is_file() for file in files):
            return files
    return [folder / ARCHIVE] if (folder / ARCHIVE).is_file() else None


def read(split: str, folder: Path) -> ImageSet:
    """Return a split; images (count, 3, 32, 32)."""
    found = find(folder)
    if found is None:
        raise DataError(f"{folder}: neither {ARCHIVE} nor {TRAIN_FILES[0]} and its five companions are there")
    wanted = TEST_FILES if split == "test" else TRAIN_FILES
    if found[0].name == ARCHIVE:
        raw = _from_archive(found[0], wanted)
    else:
        raw = [_from_file(file) for file in found if file.name in wanted]
    records = np.concatenate([_records(r) for r in raw])
    pixels, labels = records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]
    check_counts("cifar10", labels, (1000 * len(wanted),) * 10, found[0])
    if split == "test":
        return ImageSet("cifar10", split, pixels, labels, CLASSES)
    mask = held_out(labels, VALIDATION_PER_CLASS)
    mask = mask if split == "validation" else ~mask
    return ImageSet("cifar10", split, pixels[mask], labels[mask], CLASSES)


def _records(raw: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, RECORD)


def _from_file(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        _check_size(size, path)
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); get the file again") from error


def _from_archive(path: Path, wanted: tuple[str, ...]) -> list[bytes]:
    """Read members in memory: nothing is unpacked to disk, so names inside cannot lead anywhere."""
    found = {}
    try:
        with tarfile.open(path, "r:gz") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                stream = tar.extractfile(member) if name in wanted else None
                if stream is not None:
                    _check_size(member.size, f"{path}: {name}")
                    found[name] = stream.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); get the file again") from error
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(f"{path}: {', '.join(missing)} not in it; get the file again")
    return [found[name] for name in wanted]


def _check_size(size: int, what: object) -> None:
    if size != FILE_BYTES:
        raise DataError(f"{what}: {size:,} bytes, not {FILE_BYTES:,}; the file is cut off or another one")


SET = OutsideSet(
    Info(
        name="cifar10",
        title="CIFAR-10 colour images, 32x32",
        kind="images",
        licence="none stated; free for research, cite the report",
        source='A. Krizhevsky, 2009, "Learning Multiple Layers of Features from Tiny Images"',
        splits={"train": 45_000, "validation": 5_000, "test": 10_000},
        classes=CLASSES,
        embedded=False,
    ),
    read,
    find,
    (
        Remote(
            ARCHIVE,
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c32a1d4ab5d03f1284b67883e8d87530",
        ),
    ),
)

"""mnist and fashion-full: 70,000 images of 28x28 in four IDX files, from a folder or by download."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tinytorch.data.idx import read_idx
from tinytorch.data.images import ImageSet
from tinytorch.data.sets import fashion
from tinytorch.data.sets.base import DIGITS, Info, OutsideSet, Remote, check_counts, held_out
from tinytorch.errors import DataError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
VALIDATION_PER_CLASS = 500
SPLITS = {"train": 55_000, "validation": 5_000, "test": 10_000}
MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST_MD5 = (
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
)
MNIST_TRAIN = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
MNIST_TEST = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MD5 = (
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)


def find(folder: Path) -> list[Path] | None:
    """Return the four files in a folder, compressed or plain, or None when one is missing."""
    found = [next((p for p in (folder / f"{f}.gz", folder / f) if p.is_file()), None) for f in FILES]
    return [p for p in found if p is not None] if all(found) else None


def reader(
    name: str, classes: tuple[str, ...], train: tuple[int, ...], test: tuple[int, ...]
) -> Callable[[str, Path], ImageSet]:
    """Return the function that reads a split of a set with the given images in each class."""
    return partial(_read, name, classes, train, test)


def _read(
    name: str,
    classes: tuple[str, ...],
    train: tuple[int, ...],
    test: tuple[int, ...],
    split: str,
    folder: Path,
) -> ImageSet:
    found = find(folder)
    if found is None:
        raise DataError(f"{folder}: not all of {', '.join(FILES)} (.gz or plain) are there")
    images, labels = found[2:] if split == "test" else found[:2]
    x, y = read_idx(images, 3), read_idx(labels, 1)
    if x.shape != (len(y), 28, 28):
        raise DataError(f"{images}: shape {x.shape} where {len(y)} labels ask for ({len(y)}, 28, 28)")
    check_counts(name, y, test if split == "test" else train, labels)
    if split != "test":
        mask = held_out(y, VALIDATION_PER_CLASS)
        mask = mask if split == "validation" else ~mask
        x, y = x[mask], y[mask]
    return ImageSet(name, split, x[:, None], y, classes)


def _remotes(base: str, sums: tuple[str, ...]) -> tuple[Remote, ...]:
    return tuple(Remote(f"{f}.gz", f"{base}{f}.gz", md5) for f, md5 in zip(FILES, sums, strict=True))


MNIST = OutsideSet(
    Info(
        name="mnist",
        title="MNIST handwritten digits, 28x28",
        kind="images",
        licence="CC BY-SA 3.0",
        source="Y. LeCun, C. Cortes, C. J. C. Burges: the MNIST database of handwritten digits",
        splits=SPLITS,
        classes=DIGITS,
        embedded=False,
    ),
    reader("mnist", DIGITS, MNIST_TRAIN, MNIST_TEST),
    find,
    _remotes(MNIST_URL, MNIST_MD5),
)

FASHION_FULL = OutsideSet(
    Info(
        name="fashion-full",
        title="Fashion-MNIST, whole",
        kind="images",
        licence="MIT",
        source=fashion.SET.info.source,
        splits=SPLITS,
        classes=fashion.CLASSES,
        embedded=False,
    ),
    reader("fashion-full", fashion.CLASSES, (6000,) * 10, (1000,) * 10),
    find,
    _remotes(FASHION_URL, FASHION_MD5),
    system_folders=(Path("/usr/share/datasets/fashion-mnist"), Path("/usr/share/dataset-fashion-mnist")),
)

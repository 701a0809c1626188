"""Build tinytorch/data/files/fashion.tar.xz from the full IDX files of Fashion-MNIST.

Train takes the first 1,000 images of each class, validation the last 200 of each class of the 60,000 training
images; test is the whole test set. Usage: python tools/build_fashion.py [FOLDER]
(the default is where Debian's package dataset-fashion-mnist puts the files).
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from packing import write_archive

from tinytorch.data.idx import format_idx, read_idx

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
TRAIN_PER_CLASS = 1000
VALIDATION_PER_CLASS = 200


def of_each_class(labels: NDArray[np.uint8], part: slice) -> NDArray[np.int64]:
    """Return, in file order, the indices in `part` of each class's own list of images."""
    picked = [np.flatnonzero(labels == label)[part] for label in range(10)]
    return np.sort(np.concatenate(picked))


def main(folder: Path) -> None:
    """Read the four IDX files, pick the images, write the archive."""
    images = read_idx(folder / "train-images-idx3-ubyte.gz", 3)
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz", 1)
    train = of_each_class(labels, slice(None, TRAIN_PER_CLASS))
    validation = of_each_class(labels, slice(-VALIDATION_PER_CLASS, None))
    splits = {
        "train": (images[train], labels[train]),
        "validation": (images[validation], labels[validation]),
        "test": (
            read_idx(folder / "t10k-images-idx3-ubyte.gz", 3),
            read_idx(folder / "t10k-labels-idx1-ubyte.gz", 1),
        ),
    }
    members = {}
    for split, (x, y) in splits.items():
        members[f"{split}-images-idx3-ubyte"] = format_idx(x)
        members[f"{split}-labels-idx1-ubyte"] = format_idx(y)
        print(f"{split:<10} {x.shape} of each class {np.bincount(y).tolist()}")
    path = write_archive("fashion", members)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEBIAN)

"""Build tinytorch/data/files/digits.tar.xz from scikit-learn's copy of the UCI optical digits.

Each class is split in a fixed shuffled order. Usage: python tools/build_digits.py FILE
where FILE is sklearn/datasets/data/digits.csv.gz of a scikit-learn installation.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from packing import write_archive

from tinytorch.data.idx import format_idx

SIZES = {"test": 400, "validation": 200}
SEED = 1797


def stratified(labels: NDArray[np.uint8]) -> dict[str, NDArray[np.int64]]:
    """Return sorted indices of each split, every class in its share (largest remainders fill the total)."""
    rng = np.random.Generator(np.random.Philox(SEED))
    members = [rng.permutation(np.flatnonzero(labels == c)) for c in range(10)]
    picked = {}
    for split, size in SIZES.items():
        share = np.bincount(labels) * size / len(labels)
        count = np.floor(share).astype(int)
        count[np.argsort(count - share, kind="stable")[: size - count.sum()]] += 1
        picked[split] = np.sort(np.concatenate([m[:k] for m, k in zip(members, count, strict=True)]))
        members = [m[k:] for m, k in zip(members, count, strict=True)]
    return {"train": np.sort(np.concatenate(members)), **picked}


def main(source: Path) -> None:
    """Read the table (64 pixels of 0 to 16, then the label), split it, write the archive."""
    with gzip.open(source, "rt", encoding="ascii") as lines:
        table = np.loadtxt(lines, delimiter=",").astype(np.uint8)
    images, labels = table[:, :64].reshape(-1, 8, 8), table[:, 64]
    members = {}
    picked = stratified(labels)
    for split in ("train", "validation", "test"):
        x, y = images[picked[split]], labels[picked[split]]
        members[f"{split}-images-idx3-ubyte"] = format_idx(x)
        members[f"{split}-labels-idx1-ubyte"] = format_idx(y)
        print(f"{split:<10} {x.shape} of each class {np.bincount(y).tolist()}")
    path = write_archive("digits", members)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

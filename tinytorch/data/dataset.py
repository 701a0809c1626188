"""Data sets: something with a length and samples, here backed by NumPy arrays."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinytorch.data.rng import Purpose, generator
from tinytorch.errors import DataError, ShapeError
from tinytorch.tensor import Tensor

Array = NDArray[Any]
Batch = tuple[Array, ...]
Indices = Sequence[int] | NDArray[np.int64]


class Dataset(ABC):
    """A finite, indexable collection of samples; each sample is a tuple of arrays or numbers.

    A subclass gives `__len__` and `__getitem__`. Where many samples can be fetched faster than one by one, it
    overrides `batch` as well.

    >>> class Squares(Dataset):
    ...     def __len__(self): return 10
    ...     def __getitem__(self, index): return index, index**2
    >>> Squares().batch([2, 3])
    (array([2, 3]), array([4, 9]))
    """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @abstractmethod
    def __getitem__(self, index: int) -> Any:
        """Return one sample."""

    def batch(self, indices: Indices) -> Batch:
        """Return the samples at `indices`, stacked: one array with a leading batch axis for each field."""
        return collate([self[int(i)] for i in indices])


class TensorDataset(Dataset):
    """Samples along the first axis of one or more arrays or Tensors of equal length.

    Raises DataError without arrays, ShapeError when lengths differ or an array has no axes.

    >>> data = TensorDataset(np.eye(3, dtype=np.float32), np.array([0, 1, 2]))
    >>> x, y = data.batch([2, 0])
    >>> x.shape, y.tolist()
    ((2, 3), [2, 0])
    """

    def __init__(self, *arrays: Array | Tensor) -> None:
        if not arrays:
            raise DataError("TensorDataset: no arrays given; pass at least one, such as TensorDataset(x, y)")
        self.arrays: Batch = tuple(a.data if isinstance(a, Tensor) else np.asarray(a) for a in arrays)
        shapes = [a.shape for a in self.arrays]
        if any(not shape for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
            raise ShapeError(
                f"TensorDataset: shapes {shapes} differ in their first axis, the number of samples"
            )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> Batch:
        return tuple(a[index] for a in self.arrays)

    def batch(self, indices: Indices) -> Batch:
        """Return the rows at `indices` of each array, in that order and as copies, by one gather each."""
        return tuple(a[np.asarray(indices, dtype=np.int64)] for a in self.arrays)


class Subset(Dataset):
    """The samples of another data set at given positions, in that order.

    Raises DataError for a position outside the data set.

    >>> Subset(TensorDataset(np.arange(10)), [7, 1]).batch([1, 0])
    (array([1, 7]),)
    """

    def __init__(self, dataset: Dataset, indices: ArrayLike) -> None:
        self.dataset = dataset
        self.indices = _positions(indices)
        outside = self.indices[(self.indices < 0) | (self.indices >= len(dataset))]
        if outside.size:
            raise DataError(f"Subset: index {outside[0]} is outside a data set of {len(dataset)} samples")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def batch(self, indices: Indices) -> Batch:
        """Return the samples at `indices` of this subset, by one call of the data set's own `batch`."""
        return self.dataset.batch(self.indices[np.asarray(indices, dtype=np.int64)])


def random_split(dataset: Dataset, fractions: Sequence[float], seed: int = 0) -> list[Subset]:
    """Split a data set at random into one Subset for each fraction; each sample is in exactly one of them.

    The samples, in an order drawn from `generator(seed, Purpose.SPLIT)`, are cut at the running sums of the
    fractions times len(dataset), rounded. Raises DataError for no fractions, fractions that are not above 0,
    or that do not add up to 1.

    >>> train, test = random_split(TensorDataset(np.arange(10)), [0.8, 0.2])
    >>> len(train), len(test), sorted([*train.indices, *test.indices]) == list(range(10))
    (8, 2, True)
    """
    if not fractions or min(fractions) <= 0 or not np.isclose(sum(fractions), 1.0):
        raise DataError(f"random_split: fractions {list(fractions)} must be above 0 and add up to 1")
    order = generator(seed, Purpose.SPLIT).permutation(len(dataset))
    cuts = [round(float(total) * len(dataset)) for total in np.cumsum(fractions)[:-1]]
    return [Subset(dataset, part) for part in np.split(order, cuts)]


def collate(samples: Sequence[Any]) -> Batch:
    """Stack samples into a batch: one array for each field, with a new leading axis.

    A sample is a tuple of fields; anything else counts as a tuple of one. Python floats become float32,
    Python ints int64; `_stack(i, values)` makes the array of field i out of its values in all samples. Raises
    DataError when there are no samples, or when they differ in number of fields or (naming field i) in shape.

    >>> collate([(np.zeros(2), 1), (np.ones(2), 0)])[0].shape
    (2, 2)
    """
    if not samples:
        raise DataError("collate: no samples; a batch needs at least one")
    rows = [sample if isinstance(sample, tuple) else (sample,) for sample in samples]
    if len({len(row) for row in rows}) > 1:
        raise DataError(
            f"collate: samples have {sorted({len(row) for row in rows})} fields; give all the same number"
        )
    return tuple(_stack(i, field) for i, field in enumerate(zip(*rows, strict=True)))


def _stack(number: int, values: Sequence[Any]) -> Array:
    arrays = [_as_array(value) for value in values]
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        raise DataError(
            f"collate: field {number} has samples of shapes {sorted(shapes)}; "
            "make them equal (crop or pad) or pass your own collate"
        )
    return np.stack(arrays)


def _as_array(value: Any) -> Array:
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, float) and not isinstance(value, np.generic):
        return np.asarray(value, dtype=np.float32)
    if isinstance(value, int) and not isinstance(value, bool):
        return np.asarray(value, dtype=np.int64)
    return np.asarray(value)


def _positions(indices: ArrayLike) -> NDArray[np.int64]:
    found = np.asarray(indices)
    if found.ndim != 1 or (found.size and not np.issubdtype(found.dtype, np.integer)):
        raise DataError(
            f"Subset: indices must be a list of integers, not {found.dtype} of shape {found.shape}"
        )
    return found.astype(np.int64)

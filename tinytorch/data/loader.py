"""DataLoader: batches in a seeded order, optionally prepared ahead by one thread, resumable at any batch."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinytorch.data.dataset import Batch, Dataset
from tinytorch.data.prefetch import prefetched
from tinytorch.data.rng import Purpose, generator
from tinytorch.data.transforms import Transform
from tinytorch.errors import CheckpointError, DataError
from tinytorch.tensor import Tensor

Collate = Callable[[Sequence[Any]], Batch]


class DataLoader:
    """Iterates over a data set in batches: tuples of Tensors with a leading batch axis.

    The order of epoch e is a pure function of (seed, e), and what a random `transform(batch, rng)` draws of
    (seed, e, batch number); so a loader given another's `state_dict` goes on with exactly the batches the
    other would have given. Each loop over the loader is one epoch: leaving it early ends that epoch too.

    Args:
        dataset: where the samples come from.
        batch_size: samples in a batch, at least 1; the last batch may have fewer.
        shuffle: take the samples of each epoch in a new random order.
        drop_last: leave out a last batch that is not full.
        seed: 0 to 2**64 - 1.
        collate: makes a batch of a list of samples; the default is the data set's own `batch`.
        transform: changes whole batches of arrays, such as those of `tinytorch.data.transforms`.
        prefetch: how many batches a background thread prepares ahead; 0 means no thread.

    Raises DataError for an empty data set, a size below 1, or (while iterating) samples that do not stack.

    >>> from tinytorch.data import DataLoader, TensorDataset
    >>> loader = DataLoader(TensorDataset(np.arange(5)), batch_size=2)
    >>> [x.data.tolist() for (x,) in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        collate: Collate | None = None,
        transform: Transform | None = None,
        prefetch: int = 0,
    ) -> None:
        if len(dataset) == 0:
            raise DataError("DataLoader: the data set is empty; give it at least one sample")
        if batch_size < 1:
            raise DataError(f"DataLoader: batch_size is {batch_size}; it must be at least 1")
        if drop_last and batch_size > len(dataset):
            raise DataError(
                f"DataLoader: batch_size {batch_size} with drop_last leaves no batch of {len(dataset)};"
                " use a smaller batch_size or drop_last=False"
            )
        if prefetch < 0:
            raise DataError(f"DataLoader: prefetch is {prefetch}; it is a number of batches, 0 or more")
        generator(seed, Purpose.SHUFFLE)  # refuses a bad seed here rather than in the first epoch
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.collate = collate
        self.transform = transform
        self.prefetch = prefetch
        self.epoch = 0
        self.position = 0
        self._resumed = False

    def __len__(self) -> int:
        """Return the number of batches in an epoch: one that is not full counts unless `drop_last`."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """Start the next epoch, or go on in the middle of one after `load_state_dict`."""
        if self.position and not self._resumed:
            self.epoch, self.position = self.epoch + 1, 0
        self._resumed = False
        return self._iterate(self.epoch, self.position)

    def state_dict(self) -> dict[str, int]:
        """Return {epoch, batch, seed}: `batch` is the number of the batch that comes next."""
        return {"epoch": self.epoch, "batch": self.position, "seed": self.seed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Make the next loop go on where the loader that gave `state` stood.

        The entries "epoch", "batch" and "seed" become `self.epoch`, `self.position` and `self.seed`, and
        `self._resumed` True, which tells the next loop not to begin a new epoch. When the state is that after
        the last batch of an epoch, the next loop has no batches and the one after it is the next epoch.
        Raises CheckpointError, and changes nothing, for a state that does not fit: other entries, a negative
        epoch, a batch outside 0 to len(self), a seed outside 0 to 2**64 - 1.
        """
        if set(state) != {"epoch", "batch", "seed"}:
            raise CheckpointError(f"DataLoader: state has keys {sorted(state)}; expected batch, epoch, seed")
        epoch, position, seed = int(state["epoch"]), int(state["batch"]), int(state["seed"])
        if epoch < 0 or not 0 <= seed < 2**64 or not 0 <= position <= len(self):
            raise CheckpointError(
                f"DataLoader: state {dict(state)} does not fit {len(self)} batches an epoch; "
                "use the data set and batch_size of the run that was saved"
            )
        self.epoch, self.position, self.seed = epoch, position, seed
        self._resumed = True

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order in which an epoch takes the samples: int64, shape (len(dataset),).

        Without `shuffle` that is 0, 1, 2, ...; with it a permutation drawn from `generator(self.seed,
        Purpose.SHUFFLE, epoch)`, so the same one each time it is asked for, and another for each epoch.
        """
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return generator(self.seed, Purpose.SHUFFLE, epoch).permutation(len(self.dataset))

    def _iterate(self, epoch: int, start: int) -> Iterator[tuple[Tensor, ...]]:
        batches = self._batches(epoch, start)
        if self.prefetch:
            batches = prefetched(batches, self.prefetch)
        with closing(batches):
            for position, arrays in enumerate(batches, start):
                self.epoch, self.position = epoch, position + 1
                yield tuple(Tensor(a) for a in arrays)
        self.epoch, self.position = epoch + 1, 0

    def _batches(self, epoch: int, start: int) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch from number `start` on, tuples of arrays, each made when asked for.

        Batch number k takes `batch_size` entries of `self.order(epoch)` from k * batch_size on, or those that
        are left. Its arrays come from `self.dataset.batch(indices)`, or where there is a `self.collate` from
        that, called with the list of samples `self.dataset[i]`, i a Python int. A `self.transform` is then
        called with the arrays and `generator(self.seed, Purpose.TRANSFORM, epoch, k)`.
        """
        order = self.order(epoch)
        for number in range(start, len(self)):
            indices = order[number * self.batch_size : (number + 1) * self.batch_size]
            if self.collate is None:
                arrays = self.dataset.batch(indices)
            else:
                arrays = self.collate([self.dataset[int(i)] for i in indices])
            if self.transform is not None:
                arrays = self.transform(arrays, generator(self.seed, Purpose.TRANSFORM, epoch, number))
            yield arrays

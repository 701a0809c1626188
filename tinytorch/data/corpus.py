"""Text for language models: a corpus of files, and windows of ids in order or at random."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinytorch.data.dataset import Dataset, Indices
from tinytorch.data.rng import Purpose, generator
from tinytorch.errors import DataError

Pair = tuple[NDArray[np.int64], NDArray[np.int64]]


class TextCorpus:
    """The files of one split of a text set; `text` is all of them, with an empty line between two.

    >>> TextCorpus("notes", "train", {"a.txt": b"one\\n", "b.txt": b"two\\n"}).text
    b'one\\n\\ntwo\\n'
    """

    def __init__(self, name: str, split: str, files: Mapping[str, bytes]) -> None:
        self.name = name
        self.split = split
        self.files = files
        self.text = b"\n".join(files.values())

    def __len__(self) -> int:
        """Return the number of bytes of `text`."""
        return len(self.text)

    def __repr__(self) -> str:
        return f"TextCorpus({self.name}, {self.split}: {len(self)} bytes in {len(self.files)} files)"


class TextWindows(Dataset):
    """Windows of `context` ids and the same windows one id later: (x, y), int64, shape (context,) each.

    Takes bytes or a list of ids. Windows start every `stride` ids; the default, `context`, makes each id
    the target of at most one prediction. A rest shorter than a window is left out. Raises DataError when
    not even one fits.

    >>> x, y = TextWindows(b"abcdefg", context=3)[1]
    >>> bytes(x.tolist()), bytes(y.tolist())
    (b'def', b'efg')
    """

    def __init__(self, ids: bytes | ArrayLike, context: int, stride: int | None = None) -> None:
        self.ids = _as_ids(ids, context)
        self.context = context
        self.stride = context if stride is None else stride
        if self.stride < 1:
            raise DataError(f"TextWindows: stride is {stride}; it must be at least 1")

    def __len__(self) -> int:
        return (len(self.ids) - self.context - 1) // self.stride + 1

    def __getitem__(self, index: int) -> Pair:
        if not -len(self) <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        x, y = self.batch([index % len(self)])
        return x[0], y[0]

    def batch(self, indices: Indices) -> Pair:
        """Return the windows at the indices; shapes (n, context) each."""
        return _windows(self.ids, np.asarray(indices, dtype=np.int64) * self.stride, self.context)


class RandomWindows:
    """Batches of windows at random places; the batch of a step is a pure function of (seed, step).

    So training can stop after any step and go on as if it had not, with nothing to save but the step.
    Raises DataError when not even one window fits, or for a batch size below 1.

    >>> windows = RandomWindows(bytes(range(100)), context=8, batch_size=4, seed=1)
    >>> x, y = windows.batch(step=7)
    >>> x.shape, bool((y == x + 1).all()), bool((x == windows.batch(7)[0]).all())
    ((4, 8), True, True)
    """

    def __init__(self, ids: bytes | ArrayLike, context: int, batch_size: int, seed: int = 0) -> None:
        self.ids = _as_ids(ids, context)
        if batch_size < 1:
            raise DataError(f"RandomWindows: batch_size is {batch_size}; it must be at least 1")
        self.context = context
        self.batch_size = batch_size
        self.seed = seed

    def batch(self, step: int) -> Pair:
        """Return (x, y) of a step, int64, shape (batch_size, context) each."""
        rng = generator(self.seed, Purpose.WINDOWS, step)
        starts = rng.integers(0, len(self.ids) - self.context, size=self.batch_size)
        return _windows(self.ids, starts, self.context)


def _as_ids(ids: bytes | ArrayLike, context: int) -> NDArray[np.integer]:
    found = np.frombuffer(ids, dtype=np.uint8) if isinstance(ids, bytes) else np.asarray(ids)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        raise DataError(
            f"windows: ids must be bytes or a list of integers, not {found.dtype} of shape {found.shape}"
        )
    if context < 1 or len(found) <= context:
        raise DataError(
            f"windows: {len(found)} ids are too few for a context of {context} and its next id; "
            "use a longer text or a context from 1 up"
        )
    return found


def _windows(ids: NDArray[np.integer], starts: NDArray[np.int64], context: int) -> Pair:
    rows = ids[starts[:, None] + np.arange(context + 1)].astype(np.int64)
    return rows[:, :-1], rows[:, 1:]

"""check_ids cuts fractions off instead of refusing them."""

from tinytorch.errors import DataError, ShapeError


def check_ids(ids, vocab_size):
    array = np.asarray(ids).astype(np.int64)
    if array.ndim != 1:
        raise ShapeError(f"ids {array.shape}")
    wrong = np.flatnonzero((array < 0) | (array >= vocab_size))
    if wrong.size:
        raise DataError(f"id {array[wrong[0]]} at position {wrong[0]} is not in 0 .. {vocab_size - 1}")
    return array

"""check_ids lets the id vocab_size pass."""

from tinytorch.errors import DataError, DTypeError, ShapeError


def check_ids(ids, vocab_size):
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ShapeError(f"ids {array.shape}")
    if array.size and array.dtype.kind not in "iu":
        raise DTypeError(f"ids are {array.dtype}")
    wrong = np.flatnonzero((array < 0) | (array > vocab_size))
    if wrong.size:
        raise DataError(f"id {array[wrong[0]]} at position {wrong[0]} is not in 0 .. {vocab_size - 1}")
    return array.astype(np.int64)

"""check_ids takes a batch for one long sequence."""

from tinytorch.errors import DataError, DTypeError


def check_ids(ids, vocab_size):
    array = np.asarray(ids).reshape(-1)
    if array.size and array.dtype.kind not in "iu":
        raise DTypeError(f"ids are {array.dtype}")
    wrong = np.flatnonzero((array < 0) | (array >= vocab_size))
    if wrong.size:
        raise DataError(f"id {array[wrong[0]]} at position {wrong[0]} is not in 0 .. {vocab_size - 1}")
    return array.astype(np.int64)

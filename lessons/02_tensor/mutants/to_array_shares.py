"""to_array shares memory with the array it was given."""


def to_array(data, dtype=None):
    if isinstance(data, Tensor):
        raise DTypeError("Tensor: takes arrays and numbers, not a Tensor")
    python = not isinstance(data, np.ndarray | np.generic)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"ragged: {error}") from None
    if dtype is None:
        dtype = float32 if python and array.dtype == np.float64 else as_dtype(array.dtype)
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"not numbers: {array.dtype}")
    return array.astype(dtype, copy=False)

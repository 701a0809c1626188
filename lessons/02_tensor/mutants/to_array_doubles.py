"""to_array keeps the float64 that NumPy makes of Python's floats: twice the memory of every tensor."""


def to_array(data, dtype=None):
    if isinstance(data, Tensor):
        raise DTypeError("Tensor: takes arrays and numbers, not a Tensor")
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"ragged: {error}") from None
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"not numbers: {array.dtype}")
    return array.astype(as_dtype(array.dtype) if dtype is None else dtype)

"""to_array makes float32 of everything, integers and arrays of another dtype included."""


def to_array(data, dtype=None):
    if isinstance(data, Tensor):
        raise DTypeError("Tensor: takes arrays and numbers, not a Tensor")
    return np.array(data, float32 if dtype is None else dtype)

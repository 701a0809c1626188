"""reshape fills the new shape column by column."""


def reshape(x, shape):
    shape = tuple(shape)
    if -1 in shape:
        known = -math.prod(shape)
        if shape.count(-1) > 1 or known <= 0 or x.size % known:
            raise ShapeError(f"reshape: {x.shape} has {x.size} elements, which {shape} cannot hold")
        shape = tuple(x.size // known if size == -1 else size for size in shape)
    if shape == x.shape:
        return x
    return Permute(tuple(range(len(shape)))[::-1])(Reshape(shape[::-1])(x))

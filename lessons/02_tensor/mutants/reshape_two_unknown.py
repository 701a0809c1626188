"""reshape puts the same size in place of each -1."""


def reshape(x, shape):
    shape = tuple(shape)
    known = math.prod(size for size in shape if size != -1)
    if -1 in shape and (known == 0 or x.size % known):
        raise ShapeError(f"reshape: {x.shape} has {x.size} elements, which {shape} cannot hold")
    shape = tuple(x.size // known if size == -1 else size for size in shape)
    return x if shape == x.shape else Reshape(shape)(x)

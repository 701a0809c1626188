"""reshape rounds the size it works out down, and so reports another shape than the one it was asked for."""


def reshape(x, shape):
    shape = tuple(shape)
    if -1 in shape:
        known = -math.prod(shape)
        if shape.count(-1) > 1 or known <= 0:
            raise ShapeError(f"reshape: {x.shape} has {x.size} elements, which {shape} cannot hold")
        shape = tuple(x.size // known if size == -1 else size for size in shape)
    return x if shape == x.shape else Reshape(shape)(x)

"""reshape makes a tensor behind autograd's back."""


def reshape(x, shape):
    from tinytorch.ops.base import registry

    shape = tuple(shape)
    if shape.count(-1) > 1 or (-1 in shape and (0 in shape or x.size % math.prod(shape))):
        raise ShapeError(f"reshape: {x.shape} has {x.size} elements, which {shape} cannot hold")
    if -1 not in shape and math.prod(shape) != x.size:
        raise ShapeError(f"reshape: {x.shape} has {x.size} elements, which {shape} cannot hold")
    out = registry.make(x.data.reshape(shape))
    return x if out.shape == x.shape else out

"""Reduction.reduced_shape looks at self.keepdims instead of its argument."""


class Reduction:
    def reduced_shape(self, shape, keepdims):
        if self.keepdims:
            return tuple(1 if i in self.axis else size for i, size in enumerate(shape))
        return tuple(size for i, size in enumerate(shape) if i not in self.axis)

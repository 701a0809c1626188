"""Reduction.reduced_shape keeps the axes that are reduced and drops the others."""


class Reduction:
    def reduced_shape(self, shape, keepdims):
        if keepdims:
            return tuple(size if i in self.axis else 1 for i, size in enumerate(shape))
        return tuple(size for i, size in enumerate(shape) if i in self.axis)

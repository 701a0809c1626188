"""Spec.size is 0 for a tensor without axes, which holds one number."""


class Spec:
    def size(self):
        return math.prod(self.shape) if self.shape else 0

"""Spec.nbytes counts bits."""


class Spec:
    def nbytes(self):
        return self.size * self.dtype.itemsize * 8

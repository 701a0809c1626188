"""Unary.flops takes bytes for elements."""


class Unary:
    def flops(self, out, *inputs):
        return self.cost * out.nbytes

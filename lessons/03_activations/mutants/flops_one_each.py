"""Unary.flops counts one FLOP for each element, whatever the function is."""


class Unary:
    def flops(self, out, *inputs):
        return out.size

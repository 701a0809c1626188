"""MatMul.vjp multiplies from the wrong side."""


class MatMul:
    def vjp(self, g, out, a, b):
        return lambda: b.mT @ g, lambda: g @ a.mT

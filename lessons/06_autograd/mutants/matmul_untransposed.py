"""MatMul.vjp multiplies without transposing."""


class MatMul:
    def vjp(self, g, out, a, b):
        return lambda: g @ b, lambda: a @ g

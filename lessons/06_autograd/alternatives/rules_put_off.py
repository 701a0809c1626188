"""The rules of single ops as functions throughout."""


class Mul:
    def vjp(self, g, out, a, b):
        def of_a():
            return g * b

        def of_b():
            return a * g

        return of_a, of_b


class Div:
    def vjp(self, g, out, a, b):
        return [lambda: g / b, lambda: 0.0 - g / b * out]


class Tanh:
    def vjp(self, g, out, a):
        return (lambda: g * (1.0 + out) * (1.0 - out),)


class MatMul:
    def vjp(self, g, out, a, b):
        from tinytorch.ops.shape import transpose

        return lambda: (b @ g.mT).mT, lambda: transpose(a, -1, -2) @ g


class Mean:
    def vjp(self, g, out, a):
        n = g.size and a.size // g.size
        return (lambda: self.spread(g / n if n else g, a),)


class Softmax:
    def vjp(self, g, out, a):
        return (lambda: out * g - out * (out * g).sum(self.axis, keepdims=True),)

"""The same results by other formulas and in another order."""


class Relu:
    def forward(self, a):
        return np.where(a < 0, a.dtype.type(0), a)


class Sigmoid:
    def forward(self, a):
        small = np.exp(-np.abs(a))
        return np.where(a < 0, small / (1 + small), 1 / (1 + small))


class Tanh:
    def forward(self, a):
        t = np.expm1(-2 * np.abs(a))
        return np.copysign(t / (t + 2), a)


def silu(x):
    return x * (sigmoid(x) + 0.0)


def gelu(x, approximate="none"):
    if approximate not in ("none", "tanh"):
        raise DataError(f"gelu: approximate={approximate!r} is not known")
    return _gelu_tanh(x) if approximate == "tanh" else x * (0.5 + 0.5 * erf(x * float(np.sqrt(0.5))))


class GeluTanh:
    def forward(self, x):
        u = _ROOT * x * (1 + _CUBIC * x * x)
        s = 1 / (1 + np.exp(-2 * u))
        return x * s, s


class Softmax:
    def forward(self, a):
        with np.errstate(all="ignore"):
            shifted = a - np.maximum.reduce(a, self.axis, keepdims=True)
            total = np.log(np.exp(shifted).sum(self.axis, keepdims=True))
            return np.nan_to_num(np.exp(shifted - total), nan=0.0)


class LogSoftmax:
    def forward(self, a):
        top = np.amax(a, axis=self.axis, keepdims=True)
        powers = np.exp(a - top)
        return a - (top + np.log(np.add.reduce(powers, self.axis, keepdims=True)))


class Unary:
    def flops(self, out, *inputs):
        return inputs[0].size * self.cost

"""Everything one element, or one slice, at a time."""


def for_each(function, a):
    out = np.empty_like(a)
    for at in np.ndindex(a.shape):
        out[at] = function(a[at])
    return out


class Relu:
    def forward(self, a):
        return for_each(lambda x: 0 if x < 0 else x, a)


class Sigmoid:
    def forward(self, a):
        def one(x):
            if x >= 0:
                return 1 / (1 + np.exp(-x))
            power = np.exp(x)
            return power / (1 + power)

        return for_each(one, a)


class Tanh:
    def forward(self, a):
        def one(x):
            import math

            return math.tanh(float(x))

        return for_each(one, a)


def silu(x):
    return sigmoid(x) * x


def gelu(x, approximate="none"):
    if approximate == "none":
        below = (erf(x / 2**0.5) + 1) / 2
        return below * x
    if approximate == "tanh":
        return _gelu_tanh(x)
    raise DataError(f"there is no GELU called {approximate}")


class GeluTanh:
    def forward(self, x):
        s = np.empty_like(x)
        for at in np.ndindex(x.shape):
            v = float(x[at])
            s[at] = 0.5 * (1 + np.tanh(_ROOT * (v + _CUBIC * v**3)))
        return x * s, s


class Softmax:
    def forward(self, a):
        out = np.zeros_like(a)
        slices, results = np.moveaxis(a, self.axis, -1), np.moveaxis(out, self.axis, -1)
        for at in np.ndindex(slices.shape[:-1]):
            top = slices[at].max()
            if top > -np.inf:
                powers = np.exp(slices[at] - top)
                results[at] = powers / powers.sum()
        return out


class LogSoftmax:
    def forward(self, a):
        out = np.empty_like(a)
        slices, results = np.moveaxis(a, self.axis, -1), np.moveaxis(out, self.axis, -1)
        for at in np.ndindex(slices.shape[:-1]):
            shifted = slices[at] - slices[at].max()
            results[at] = shifted - np.log(np.exp(shifted).sum())
        return out


class Unary:
    def flops(self, out, *inputs):
        total = self.cost
        for size in out.shape:
            total *= size
        return total

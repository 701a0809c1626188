"""Other ways to the same: other types on the way, other formulas, other functions of NumPy."""


def symmetric_scale(largest, bits=8):
    largest = np.asarray(largest, np.float32)
    steps = np.float32(2 ** (bits - 1) - 1)
    scale = np.divide(largest, steps, out=np.ones_like(largest), where=largest >= np.float32(TINY))
    return scale


def affine_grid(low, high, bits=8):
    ends = np.array([low, high, 0.0])
    low, high = ends.min(), ends.max()
    if high - low < TINY:
        return np.ones((), np.float32), np.zeros((), np.int32)
    scale = (high - low) / (2.0**bits - 1)
    most = 2 ** (bits - 1) - 1
    zero = np.clip(np.round(most - high / scale), -most - 1, most)
    return np.asarray(scale, np.float32), np.asarray(zero, np.int32)


class Quantize:
    def forward(self, x, scale, zero=None):
        zero = np.zeros((), np.int32) if zero is None else zero
        steps = np.where(np.isnan(x), 0, x) / scale
        bound = np.float32(1e6)
        steps = np.clip(steps, -bound, bound)
        codes = np.round(steps).astype(np.int32) + zero
        return np.maximum(np.minimum(codes, self.high), self.low).astype(np.int8)


def numbers_of(codes, scale, zero=0):
    return np.multiply(np.subtract(codes, zero, dtype=np.float32), scale, dtype=np.float32)


def channel_scales(w, bits=8):
    axes = tuple(range(1, w.ndim))
    return symmetric_scale(np.maximum(w.max(axes), -w.min(axes)), bits)


class IntMatMul:
    def forward(self, x, w):
        total = x.astype(np.float64) @ w.T.astype(np.float64)
        return total.astype(np.int32)


def percentile_range(values, low, high, percent=PERCENT):
    kept = percent / 100
    below, above = np.quantile(values.astype(np.float64), [(1 - kept) / 2, (1 + kept) / 2])
    return below, above


def mse_range(values, low, high, steps=80):
    def loss(share):
        scale, zero = affine_grid(share * low, share * high)
        kept = np.clip(np.rint(values / scale), -128 - zero, 127 - zero) * scale
        return np.square(values - kept, dtype=np.float64).mean()

    shares = np.arange(steps, 0, -1) / steps
    best = shares[np.argmin([loss(share) for share in shares])]
    return float(best * low), float(best * high)


class FakeQuantize:
    def forward(self, x, scale, zero):
        steps = np.clip(np.rint(x / scale), self.low - zero, self.high - zero)
        return (steps * scale).astype(x.dtype)

    def vjp(self, g, out, x, scale, zero):
        code = x / scale + zero.to(x.dtype)
        beyond = (code < self.low - 0.5) | (code > self.high + 0.5)
        return g * (~beyond).to(g.dtype), None, None


def group_scales(w, size, bits=4):
    starts = np.arange(0, w.shape[1], size)
    return symmetric_scale(np.maximum.reduceat(np.abs(w), starts, axis=1), bits)


def group_codes(w, scales, bits=4):
    size = w.shape[1] // scales.shape[1]
    return codes_of(w, np.repeat(scales, size, axis=1), bits)

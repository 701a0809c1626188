"""Quantize.forward rounds halves away from zero."""


class Quantize:
    def forward(self, x, scale, zero=None):
        steps = x / scale
        code = np.sign(steps) * np.floor(np.abs(steps) + x.dtype.type(0.5))
        if zero is not None:
            code += zero.astype(x.dtype)
        code = np.clip(code, self.low, self.high)
        nothing = 0 if zero is None else zero
        return np.where(np.isnan(code), nothing, code).astype(np.int8)

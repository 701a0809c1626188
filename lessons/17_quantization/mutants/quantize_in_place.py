"""Quantize.forward divides the numbers that it was given."""


class Quantize:
    def forward(self, x, scale, zero=None):
        x /= scale
        code = np.rint(x)
        if zero is not None:
            code += zero.astype(x.dtype)
        code = np.clip(code, self.low, self.high)
        nothing = 0 if zero is None else zero
        return np.where(np.isnan(code), nothing, code).astype(np.int8)

"""Quantize.forward gives NaN the code 0, which stands for another number."""


class Quantize:
    def forward(self, x, scale, zero=None):
        code = np.rint(x / scale)
        if zero is not None:
            code += zero.astype(x.dtype)
        code = np.clip(code, self.low, self.high)
        return np.where(np.isnan(code), 0, code).astype(np.int8)

"""Quantize.forward leaves it to the processor what int8 becomes of NaN."""


class Quantize:
    def forward(self, x, scale, zero=None):
        code = np.rint(x / scale)
        if zero is not None:
            code += zero.astype(x.dtype)
        code = np.clip(code, self.low, self.high)
        return np.where(np.isnan(code), self.low, code).astype(np.int8)

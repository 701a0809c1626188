"""Answers that lean on those before them: groups as channels, rounding for training out of Quantize."""


def channel_scales(w, bits=8):
    return np.array([symmetric_scale(np.abs(channel).max(), bits) for channel in w], np.float32)


class IntMatMul:
    def forward(self, x, w):
        lead, k = x.shape[:-1], x.shape[-1]
        out = np.zeros((*lead, len(w)), np.int32)
        for start in range(0, k, 512):
            a, b = x[..., start : start + 512], w[:, start : start + 512]
            out += np.einsum("...k,nk->...n", a, b, dtype=np.int32)
        return out


class FakeQuantize:
    def forward(self, x, scale, zero):
        codes = Quantize(self.low, self.high).forward(x, scale, zero)
        kept = (codes.astype(x.dtype) - zero.astype(x.dtype)) * scale
        return np.where(np.isnan(x), x, kept)

    def vjp(self, g, out, x, scale, zero):
        middle = (self.low + self.high) / 2
        half = (self.high - self.low + 1) / 2
        away = (x / scale + zero.to(x.dtype) - middle).abs()
        return where(away <= half, g, g * 0.0), None, None


def group_scales(w, size, bits=4):
    n, k = w.shape
    return channel_scales(w.reshape(n * k // size, size), bits).reshape(n, k // size)


def group_codes(w, scales, bits=4):
    runs = np.split(w, scales.shape[1], axis=1)
    return np.concatenate([codes_of(run, scales[:, [i]], bits) for i, run in enumerate(runs)], axis=1)

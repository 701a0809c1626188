"""IntMatMul.forward adds up two products at a time in int16, cut off at its ends."""


class IntMatMul:
    def forward(self, x, w):
        k = w.shape[1]
        out = np.zeros((*x.shape[:-1], len(w)), np.int32)
        for start in range(0, k, 2):
            part = slice(start, start + 2)
            twos = x[..., part].astype(np.int32) @ w[:, part].T.astype(np.int32)
            out += np.clip(twos, -32768, 32767)
        return out

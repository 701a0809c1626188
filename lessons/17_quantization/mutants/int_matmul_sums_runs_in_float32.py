"""IntMatMul.forward multiplies in runs, and adds the runs up in float32."""


class IntMatMul:
    def forward(self, x, w):
        out = np.zeros((*x.shape[:-1], len(w)), np.float32)
        for start in range(0, w.shape[1], EXACT):
            part = slice(start, start + EXACT)
            out += x[..., part].astype(np.float32) @ w[:, part].T.astype(np.float32)
        return out.astype(np.int32)

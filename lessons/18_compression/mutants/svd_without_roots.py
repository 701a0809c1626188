"""svd_factors scales both factors by the singular values, so that their product has squares."""


def svd_factors(w, rank):
    if not 1 <= rank <= min(w.shape):
        raise CompressionError("no such rank")
    u, s, vt = np.linalg.svd(w.astype(np.float64), full_matrices=False)

    return (u[:, :rank] * s[:rank]).astype(np.float32), (s[:rank, None] * vt[:rank]).astype(np.float32)

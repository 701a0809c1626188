"""svd_factors keeps the smallest singular values."""


def svd_factors(w, rank):
    if not 1 <= rank <= min(w.shape):
        raise CompressionError("no such rank")
    u, s, vt = np.linalg.svd(w.astype(np.float64), full_matrices=False)

    roots = np.sqrt(s[-rank:])
    return (u[:, -rank:] * roots).astype(np.float32), (roots[:, None] * vt[-rank:]).astype(np.float32)

"""svd_factors gives all of the singular values to a, and none to b."""


def svd_factors(w, rank):
    if not 1 <= rank <= min(w.shape):
        raise CompressionError("no such rank")
    u, s, vt = np.linalg.svd(w.astype(np.float64), full_matrices=False)

    return (u[:, :rank] * s[:rank]).astype(np.float32), vt[:rank].astype(np.float32)

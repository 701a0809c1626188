"""svd_factors works in float32, where small singular values drown."""


def svd_factors(w, rank):
    if not 1 <= rank <= min(w.shape):
        raise CompressionError("no such rank")
    u, s, vt = np.linalg.svd(w.astype(np.float32), full_matrices=False)

    roots = np.sqrt(s[:rank])
    return (u[:, :rank] * roots).astype(np.float32), (roots[:, None] * vt[:rank]).astype(np.float32)

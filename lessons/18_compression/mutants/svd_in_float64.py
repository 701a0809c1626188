"""svd_factors gives float64."""


def svd_factors(w, rank):
    if not 1 <= rank <= min(w.shape):
        raise CompressionError("no such rank")
    u, s, vt = np.linalg.svd(w.astype(np.float64), full_matrices=False)

    roots = np.sqrt(s[:rank])
    return u[:, :rank] * roots, roots[:, None] * vt[:rank]

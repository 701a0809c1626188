"""svd_factors takes what np.linalg.svd gives for V, where it is V^T."""


def svd_factors(w, rank):
    if not 1 <= rank <= min(w.shape):
        raise CompressionError("no such rank")
    u, s, vt = np.linalg.svd(w.astype(np.float64), full_matrices=False)

    roots = np.sqrt(s[:rank])
    return (u[:, :rank] * roots).astype(np.float32), (roots[:, None] * vt[:, :rank].T).astype(np.float32)

"""svd_factors scales the rows of b one by one with the wrong axis of the roots."""


def svd_factors(w, rank):
    if not 1 <= rank <= min(w.shape):
        raise CompressionError("no such rank")
    u, s, vt = np.linalg.svd(w.astype(np.float64), full_matrices=False)

    roots = np.sqrt(s)
    return (u * roots)[:, :rank].astype(np.float32), (np.resize(roots, w.shape[1]) * vt)[:rank].astype(
        np.float32
    )

"""svd_factors takes the first columns of w for the important ones."""


def svd_factors(w, rank):
    if not 1 <= rank <= min(w.shape):
        raise CompressionError("no such rank")
    b = np.linalg.lstsq(w[:, :rank].astype(np.float64), w, rcond=None)[0]
    return w[:, :rank].astype(np.float32), b.astype(np.float32)

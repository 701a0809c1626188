"""svd_factors takes the largest rank where more is wanted, and 1 where less is."""


def svd_factors(w, rank):
    rank = max(1, min(rank, *w.shape))
    u, s, vt = np.linalg.svd(w.astype(np.float64), full_matrices=False)
    roots = np.sqrt(s[:rank])
    return (u[:, :rank] * roots).astype(np.float32), (roots[:, None] * vt[:rank]).astype(np.float32)

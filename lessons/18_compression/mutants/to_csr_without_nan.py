"""to_csr stores what is larger or smaller than 0, and so no NaN."""


def to_csr(w):
    if w.ndim != 2:
        raise CompressionError("two axes are wanted")
    n, k = w.shape

    rows, columns = np.nonzero((w > 0) | (w < 0))
    starts = np.searchsorted(rows, np.arange(n + 1)).astype(np.int32)
    return CSR(w[rows, columns].astype(np.float32), columns.astype(np.int32), starts, (n, k))

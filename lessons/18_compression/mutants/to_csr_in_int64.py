"""to_csr leaves columns and starts in int64, which is twice the bytes."""


def to_csr(w):
    if w.ndim != 2:
        raise CompressionError("two axes are wanted")
    n, k = w.shape

    rows, columns = np.nonzero(w)
    starts = np.searchsorted(rows, np.arange(n + 1))
    return CSR(w[rows, columns].astype(np.float32), columns, starts, (n, k))

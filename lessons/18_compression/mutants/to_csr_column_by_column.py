"""to_csr stores what it finds column after column."""


def to_csr(w):
    if w.ndim != 2:
        raise CompressionError("two axes are wanted")
    n, k = w.shape

    columns, rows = np.nonzero(w.T)
    starts = np.searchsorted(np.sort(rows), np.arange(n + 1)).astype(np.int32)
    return CSR(w[rows, columns].astype(np.float32), columns.astype(np.int32), starts, (n, k))

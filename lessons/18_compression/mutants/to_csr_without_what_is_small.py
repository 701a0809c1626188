"""to_csr takes what is small for zero."""


def to_csr(w):
    if w.ndim != 2:
        raise CompressionError("two axes are wanted")
    n, k = w.shape

    rows, columns = np.nonzero(~(np.abs(w) < 1e-8))
    starts = np.searchsorted(rows, np.arange(n + 1)).astype(np.int32)
    return CSR(w[rows, columns].astype(np.float32), columns.astype(np.int32), starts, (n, k))

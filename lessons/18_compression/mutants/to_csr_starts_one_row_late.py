"""to_csr says where rows end, one place too early."""


def to_csr(w):
    if w.ndim != 2:
        raise CompressionError("two axes are wanted")
    n, k = w.shape

    rows, columns = np.nonzero(w)
    starts = np.searchsorted(rows, np.arange(n + 1), side="right").astype(np.int32)
    return CSR(w[rows, columns].astype(np.float32), columns.astype(np.int32), starts, (n, k))

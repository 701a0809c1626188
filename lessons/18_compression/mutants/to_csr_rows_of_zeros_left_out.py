"""to_csr gives rows of zeros no start."""


def to_csr(w):
    if w.ndim != 2:
        raise CompressionError("two axes are wanted")
    n, k = w.shape

    rows, columns = np.nonzero(w)
    starts = np.append(np.unique(rows, return_index=True)[1], len(rows)).astype(np.int32)
    return CSR(w[rows, columns].astype(np.float32), columns.astype(np.int32), starts, (n, k))

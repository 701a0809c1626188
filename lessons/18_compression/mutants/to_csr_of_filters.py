"""to_csr makes a matrix of whatever it is given."""


def to_csr(w):
    w = w.reshape(len(w), -1)
    rows, columns = np.nonzero(w)
    starts = np.searchsorted(rows, np.arange(len(w) + 1)).astype(np.int32)
    return CSR(w[rows, columns].astype(np.float32), columns.astype(np.int32), starts, w.shape)

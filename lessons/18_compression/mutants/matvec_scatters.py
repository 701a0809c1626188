"""csr_matvec multiplies by the transpose: it adds each row's values to the outputs of their columns."""


def csr_matvec(csr, x):
    n, k = csr.shape
    if x.shape != (k,):
        raise CompressionError("x does not fit")

    out = np.zeros(max(n, k), np.float32)
    rows = np.repeat(np.arange(n), np.diff(csr.starts))
    np.add.at(out, csr.columns, csr.values * x[np.minimum(rows, k - 1)])
    return out[:n]

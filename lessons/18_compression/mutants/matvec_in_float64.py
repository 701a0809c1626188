"""csr_matvec gives float64."""


def csr_matvec(csr, x):
    n, k = csr.shape
    if x.shape != (k,):
        raise CompressionError("x does not fit")

    out = np.zeros(n)
    for row in range(n):
        mine = slice(csr.starts[row], csr.starts[row + 1])
        out[row] = csr.values[mine] @ x[csr.columns[mine]]
    return out

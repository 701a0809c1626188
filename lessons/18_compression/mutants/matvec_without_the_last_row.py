"""csr_matvec stops before the last row."""


def csr_matvec(csr, x):
    n, k = csr.shape
    if x.shape != (k,):
        raise CompressionError("x does not fit")

    out = np.zeros(n, np.float32)
    for row in range(n - 1):
        mine = slice(csr.starts[row], csr.starts[row + 1])
        out[row] = csr.values[mine] @ x[csr.columns[mine]]
    return out

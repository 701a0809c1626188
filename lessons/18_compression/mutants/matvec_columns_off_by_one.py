"""csr_matvec reads the input before each column."""


def csr_matvec(csr, x):
    n, k = csr.shape
    if x.shape != (k,):
        raise CompressionError("x does not fit")

    out = np.zeros(n, np.float32)
    for row in range(n):
        mine = slice(csr.starts[row], csr.starts[row + 1])
        out[row] = csr.values[mine] @ x[csr.columns[mine] - 1]
    return out

"""csr_matvec multiplies the values of a row with the first inputs, not those at its columns."""


def csr_matvec(csr, x):
    n, k = csr.shape
    if x.shape != (k,):
        raise CompressionError("x does not fit")

    out = np.zeros(n, np.float32)
    for row in range(n):
        mine = slice(csr.starts[row], csr.starts[row + 1])
        out[row] = csr.values[mine] @ x[: len(csr.values[mine])]
    return out

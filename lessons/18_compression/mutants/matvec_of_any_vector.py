"""csr_matvec takes any x that is long enough."""


def csr_matvec(csr, x):
    x = np.ravel(x)
    if x.size < csr.shape[1]:
        raise CompressionError("x is too short")
    out = np.zeros(csr.shape[0], np.float32)
    for row in range(len(out)):
        mine = slice(csr.starts[row], csr.starts[row + 1])
        out[row] = csr.values[mine] @ x[csr.columns[mine]]
    return out

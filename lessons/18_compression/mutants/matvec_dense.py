"""csr_matvec makes the weight dense again, and multiplies zeros with infinity."""


def csr_matvec(csr, x):
    n, k = csr.shape
    if x.shape != (k,):
        raise CompressionError("x does not fit")

    with np.errstate(invalid="ignore"):
        return csr_to_dense(csr) @ x.astype(np.float32)

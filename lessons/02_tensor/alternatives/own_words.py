"""MatMul.infer with the cure chosen first and a message in other words."""


class MatMul:
    def infer(self, a, b):
        require_float("matmul", a, b)
        if a.ndim < 2 or b.ndim < 2:
            raise ShapeError(f"matmul: {a.shape} @ {b.shape}: a product takes matrices")
        (n, k), (rows, m) = a.shape[-2:], b.shape[-2:]
        if k != rows:
            cure = "Did you mean w.mT?" if m == k else "Did you mean a.mT @ b?" if n == rows else ""
            raise ShapeError(f"matmul: {a.shape} @ {b.shape}: inner sizes {k} != {rows}. {cure}")
        return Spec(broadcast("matmul", a.shape[:-2], b.shape[:-2]) + (n, m), a.dtype)

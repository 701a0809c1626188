"""MatMul.infer lets integers and mixed dtypes pass."""


class MatMul:
    def infer(self, a, b):
        if a.ndim < 2 or b.ndim < 2:
            raise ShapeError(f"matmul: {a.shape} @ {b.shape}: both need two axes or more")
        k, m = a.shape[-1], b.shape[-2]
        if k != m:
            hint = "Did you mean w.mT?" if k == b.shape[-1] else ""
            hint = hint or ("Did you mean a.mT @ b?" if a.shape[-2] == m else "")
            raise ShapeError(f"matmul: {a.shape} @ {b.shape}: inner sizes {k} and {m} differ. {hint}")
        return Spec((*broadcast("matmul", a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), a.dtype)

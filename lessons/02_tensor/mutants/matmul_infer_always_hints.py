"""MatMul.infer asks for w.mT whatever the shapes are."""


class MatMul:
    def infer(self, a, b):
        require_float("matmul", a, b)
        if a.ndim < 2 or b.ndim < 2:
            raise ShapeError(f"matmul: {a.shape} @ {b.shape}: both need two axes or more")
        k, m = a.shape[-1], b.shape[-2]
        if k != m:
            raise ShapeError(f"matmul: {a.shape} @ {b.shape}: inner sizes {k} and {m}. Did you mean w.mT?")
        return Spec((*broadcast("matmul", a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), a.dtype)

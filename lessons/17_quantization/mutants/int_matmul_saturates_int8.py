"""IntMatMul.forward cuts its sums off at the ends of int8."""


class IntMatMul:
    def forward(self, x, w):
        total = x.astype(np.int32) @ w.T.astype(np.int32)
        return np.clip(total, -128, 127).astype(np.int32)

"""Attention.matmul_flops takes values to be as wide as keys."""


class Attention:
    def matmul_flops(self, out, q, k, v, mask=None):
        return 4 * out[1].size * q.shape[3]

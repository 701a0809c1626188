"""Attention.matmul_flops leaves the weighted sum of values out."""


class Attention:
    def matmul_flops(self, out, q, k, v, mask=None):
        return 2 * out[1].size * q.shape[3]

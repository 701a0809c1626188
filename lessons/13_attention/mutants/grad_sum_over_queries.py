"""AttentionGrad.forward takes the softmax's sum over queries, not over keys."""


class AttentionGrad:
    def forward(self, g, q, k, v, p):
        dp = g @ v.swapaxes(-1, -2)
        ds = (dp - (dp * p).sum(-2, keepdims=True)) * p * q.dtype.type(self.scale)
        return ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g

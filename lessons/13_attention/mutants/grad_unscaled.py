"""AttentionGrad.forward forgets the scale."""


class AttentionGrad:
    def forward(self, g, q, k, v, p):
        dp = g @ v.swapaxes(-1, -2)
        ds = (dp - (dp * p).sum(-1, keepdims=True)) * p
        return ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g

"""AttentionGrad.forward forgets that the weights of a row depend on each other."""


class AttentionGrad:
    def forward(self, g, q, k, v, p):
        ds = g @ v.swapaxes(-1, -2) * p * q.dtype.type(self.scale)
        return ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g

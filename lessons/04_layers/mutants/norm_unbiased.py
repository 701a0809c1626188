"""LayerNorm.forward divides by n - 1."""


class LayerNorm:
    def forward(self, x, weight, bias):
        rows = x.reshape(-1, weight.size)
        mean = rows.mean(1, keepdims=True)
        centred = rows - mean
        rstd = 1 / np.sqrt(
            (centred * centred).sum(1, keepdims=True) / (weight.size - 1) + x.dtype.type(self.eps)
        )
        out = centred * rstd * weight.reshape(-1) + bias.reshape(-1)
        return out.reshape(x.shape), mean, rstd

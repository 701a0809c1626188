"""LayerNorm.forward normalises over the batch, as batch norm does."""


class LayerNorm:
    def forward(self, x, weight, bias):
        rows = x.reshape(-1, weight.size)
        mean = rows.mean(0, keepdims=True)
        centred = rows - mean
        rstd = 1 / np.sqrt((centred * centred).mean(0, keepdims=True) + x.dtype.type(self.eps))
        out = centred * rstd * weight.reshape(-1) + bias.reshape(-1)
        return out.reshape(x.shape), mean, rstd

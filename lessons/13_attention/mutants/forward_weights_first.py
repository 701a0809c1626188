"""Attention.forward returns the weights before the result."""


class Attention:
    def forward(self, q, k, v, mask=None):
        p = attention_weights(q, k, self.scale, self.causal, mask)
        return p, p @ v

"""TransformerBlock.forward drops parts of the residual stream, not of what is added."""


class TransformerBlock:
    def forward(self, x, mask=None, cache=None):
        x = self.drop(x + self.attn(self.norm1(x), mask, self.causal, cache))
        return self.drop(x + self.mlp(self.norm2(x)))

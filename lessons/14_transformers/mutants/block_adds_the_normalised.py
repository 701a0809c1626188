"""TransformerBlock.forward adds to the normalised input, so that the residual path goes through the norm."""


class TransformerBlock:
    def forward(self, x, mask=None, cache=None):
        x = self.norm1(x)
        x = x + self.drop(self.attn(x, mask, self.causal, cache))
        x = self.norm2(x)
        return x + self.drop(self.mlp(x))

"""TransformerBlock.forward normalises after the sum, as in 2017."""


class TransformerBlock:
    def forward(self, x, mask=None, cache=None):
        x = self.norm1(x + self.drop(self.attn(x, mask, self.causal, cache)))
        return self.norm2(x + self.drop(self.mlp(x)))

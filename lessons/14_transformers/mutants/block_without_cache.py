"""TransformerBlock.forward does not hand the cache on."""


class TransformerBlock:
    def forward(self, x, mask=None, cache=None):
        x = x + self.drop(self.attn(self.norm1(x), mask, self.causal))
        return x + self.drop(self.mlp(self.norm2(x)))

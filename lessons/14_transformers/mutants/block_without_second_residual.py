"""TransformerBlock.forward does not add what the MLP read."""


class TransformerBlock:
    def forward(self, x, mask=None, cache=None):
        x = x + self.drop(self.attn(self.norm1(x), mask, self.causal, cache))
        return self.drop(self.mlp(self.norm2(x)))

"""TransformerBlock.forward lets the MLP read what attention read, not what it added to."""


class TransformerBlock:
    def forward(self, x, mask=None, cache=None):
        attended = self.drop(self.attn(self.norm1(x), mask, self.causal, cache))
        return x + attended + self.drop(self.mlp(self.norm2(x)))

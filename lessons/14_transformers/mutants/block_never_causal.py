"""TransformerBlock.forward lets every position see later ones."""


class TransformerBlock:
    def forward(self, x, mask=None, cache=None):
        x = x + self.drop(self.attn(self.norm1(x), mask, cache=cache))
        return x + self.drop(self.mlp(self.norm2(x)))

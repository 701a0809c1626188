"""GPT.forward adds no position embedding."""


class GPT:
    def forward(self, ids, cache=None):
        start = 0 if cache is None else cache.length
        if ids.ndim != 2 or start + ids.shape[1] > self.context:
            raise ShapeError(f"GPT: ids {ids.shape} after {start} of {self.context} positions")
        x = self.drop(self.wte(ids))
        for block in self.blocks:
            x = block(x, None, cache)
        return self.head(self.norm(x))

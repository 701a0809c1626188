"""GPT.forward leaves the last norm out."""


class GPT:
    def forward(self, ids, cache=None):
        start = 0 if cache is None else cache.length
        if ids.ndim != 2 or start + ids.shape[1] > self.context:
            raise ShapeError(f"GPT: ids {ids.shape} after {start} of {self.context} positions")
        t = ids.shape[1]
        places = self.wpe.weight[:t] if cache is None else self.wpe(cache.positions(t))
        x = self.drop(self.wte(ids) + places)
        for block in self.blocks:
            x = block(x, None, cache)
        return self.head(x)

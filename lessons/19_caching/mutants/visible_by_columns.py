"""PagedAttention.visible_keys takes columns for positions, as if none had been dropped."""


class PagedAttention:
    def visible_keys(self, queries, keys):
        keys = np.arange(len(keys))
        back = queries[:, None] - keys
        seen: Array = back >= 0
        if self.window:
            seen &= (back < self.window) | (keys < self.sinks)
        return seen

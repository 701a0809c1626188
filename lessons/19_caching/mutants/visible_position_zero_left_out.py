"""PagedAttention.visible_keys hides position 0."""


class PagedAttention:
    def visible_keys(self, queries, keys):
        back = queries[:, None] - keys
        seen: Array = back >= 0
        if self.window:
            seen &= (back < self.window) | (keys < self.sinks)
        return seen & (keys > 0)

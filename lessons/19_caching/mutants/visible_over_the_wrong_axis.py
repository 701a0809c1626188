"""PagedAttention.visible_keys has a row for each key and a column for each query."""


class PagedAttention:
    def visible_keys(self, queries, keys):
        back = queries - keys[:, None]
        seen: Array = back >= 0
        if self.window:
            seen &= (back < self.window) | (keys[:, None] < self.sinks)
        return seen

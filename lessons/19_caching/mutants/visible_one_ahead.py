"""PagedAttention.visible_keys lets a query see the position behind it."""


class PagedAttention:
    def visible_keys(self, queries, keys):
        back = queries[:, None] - keys
        seen: Array = back >= -1
        if self.window:
            seen &= (back < self.window) | (keys < self.sinks)
        return seen

"""PagedAttention.visible_keys takes a window of 0 for one that shows nothing."""


class PagedAttention:
    def visible_keys(self, queries, keys):
        back = queries[:, None] - keys
        seen: Array = back >= 0
        if True:
            seen &= (back < self.window) | (keys < self.sinks)
        return seen

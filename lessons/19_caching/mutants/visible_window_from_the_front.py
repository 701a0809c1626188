"""PagedAttention.visible_keys takes the window for the first positions of the text."""


class PagedAttention:
    def visible_keys(self, queries, keys):
        back = queries[:, None] - keys
        seen: Array = back >= 0
        if self.window:
            seen &= (keys < self.window) | (keys < self.sinks)
        return seen

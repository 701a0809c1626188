"""PagedAttention.visible_keys forgets the sinks."""


class PagedAttention:
    def visible_keys(self, queries, keys):
        back = queries[:, None] - keys
        seen: Array = back >= 0
        if self.window:
            seen &= back < self.window
        return seen

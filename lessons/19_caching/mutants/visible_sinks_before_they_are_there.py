"""PagedAttention.visible_keys shows sinks to queries before them."""


class PagedAttention:
    def visible_keys(self, queries, keys):
        back = queries[:, None] - keys
        seen: Array = back >= 0
        if self.window:
            seen = seen & (back < self.window) | (keys < self.sinks)
        return seen

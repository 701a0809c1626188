"""PagedAttention.visible_keys hides nothing."""


class PagedAttention:
    def visible_keys(self, queries, keys):
        back = queries[:, None] - keys
        seen: Array = back == back
        if self.window:
            seen &= (back < self.window) | (keys < self.sinks)
        return seen

"""PagedAttention.visible_keys counts the query twice."""


class PagedAttention:
    def visible_keys(self, queries, keys):
        back = queries[:, None] - keys
        seen: Array = back >= 0
        if self.window:
            seen &= (back < max(self.window - 1, 1)) | (keys < self.sinks)
        return seen

"""KVCache.reserve takes a page and does not say so in the table."""


class KVCache:
    def reserve(self, t):
        gone = self._to_drop()
        held = self.lengths - self.dropped - gone
        if int(held.max()) + t > self.slots * self.page or (
            self.window is None and int(held.max()) + t > self.capacity
        ):
            raise CacheError(
                f"cache: full: {int(held.max())} positions held, {t} more do not fit into {self.capacity}. "
                + ("Feed fewer at a time" if self.window else "Truncate it, or make it with a window")
            )
        self.pool.require(self._pages_needed(gone, t))
        for b in np.flatnonzero(gone):
            self._drop(b, int(gone[b]))
        for b, row in enumerate(self._rows):
            first = int(self.lengths[b] - self.dropped[b])
            for slot in range(first // self.page, min(len(row), self.pool.pages_for(first + t))):
                row[slot] = self.table[b, slot] = self.pool.own(row[slot])
            while len(row) * self.page < first + t:
                row.append(self.pool.take())
                pass

"""KVCache.truncate leaves the rest of the last page in the text: stale values."""


class KVCache:
    def truncate(self, n):
        if np.shape(n) not in ((), (self.batch,)):
            raise CacheError(f"cache: truncate({n}) of {self.batch} sequences; expected one length for each")
        wanted = np.broadcast_to(np.asarray(n, np.int64), (self.batch,))
        least = np.where(self.dropped > 0, self.kept + self.dropped + (self.window or 1) - 1, 0)
        if (wanted < least).any() or (wanted > self.lengths).any() or (wanted < 0).any():
            raise CacheError(
                f"cache: truncate({n}) of sequences of {self.lengths.tolist()} positions"
                + (f": what was dropped would be in sight before {least.tolist()}" if least.any() else "")
            )
        for b, row in enumerate(self._rows):
            count = self.pool.pages_for(int(wanted[b] - self.dropped[b]))
            self.pool.release(row[count:])
            del row[count:]
        self.lengths = np.minimum(-(-wanted // self.page) * self.page, self.lengths)
        self._ahead = [0] * self.pool.layers

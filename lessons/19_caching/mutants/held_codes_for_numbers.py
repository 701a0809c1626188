"""PagedAttention.held gives codes of eight bits as they are."""


class PagedAttention:
    def held(self, b, length, keys, values, table, dropped, *scales):
        page = keys.shape[3]
        place = self.place(np.arange(length), dropped[b], page)
        kept = -(-self.sinks // page) * page
        position = np.flatnonzero((np.arange(length) < kept) | (place >= kept))
        place = place[position]
        numbers, columns = (table[b, place // page], place % page)
        k, v = (keys[:, numbers, :, columns].transpose(1, 0, 2), values[:, numbers, columns])
        if scales:
            k, v = (a.astype(np.float32) for a, s in zip((k, v), scales, strict=True))
        return (k, v, position)

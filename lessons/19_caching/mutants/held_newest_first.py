"""PagedAttention.held turns the order round."""


class PagedAttention:
    def held(self, b, length, keys, values, table, dropped, *scales):
        page = keys.shape[3]
        place = self.place(np.arange(length), dropped[b], page)
        kept = -(-self.sinks // page) * page
        position = np.flatnonzero((np.arange(length) < kept) | (place >= kept))
        position = position[::-1]
        place = place[position]
        numbers, columns = (table[b, place // page], place % page)
        k, v = (keys[:, numbers, :, columns].transpose(1, 0, 2), values[:, numbers, columns])
        if scales:
            k, v = (from_codes(a, s[:, numbers, columns]) for a, s in zip((k, v), scales, strict=True))
        return (k, v, position)

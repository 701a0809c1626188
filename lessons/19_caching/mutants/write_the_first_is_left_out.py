"""CacheWrite.forward leaves out position 0 of a text."""


class CacheWrite:
    def forward(self, keys, values, k, v, table, starts, dropped, *scales):
        page = keys.shape[3]
        for b in range(len(table)):
            place = self.place(starts[b] + np.arange(k.shape[2]), dropped[b], page)
            first = int(starts[b] == 0)
            place = place[first:]
            numbers, columns = (table[b, place // page], place % page)
            rows = (k[b, :, first:].transpose(1, 0, 2), v[b, :, first:].transpose(1, 0, 2))
            if scales:
                codes = [to_codes(row) for row in rows]
                rows = (codes[0][0], codes[1][0])
                for scale, (_, exponents) in zip(scales, codes, strict=True):
                    scale[:, numbers, columns] = exponents.T
            keys[:, numbers, :, columns] = rows[0]
            values[:, numbers, columns] = rows[1].transpose(1, 0, 2)
        return keys

"""CacheWrite.forward has the heads of a position share a scale."""


class CacheWrite:
    def forward(self, keys, values, k, v, table, starts, dropped, *scales):
        page = keys.shape[3]
        for b in range(len(table)):
            place = self.place(starts[b] + np.arange(k.shape[2]), dropped[b], page)
            numbers, columns = (table[b, place // page], place % page)
            rows = (k[b].transpose(1, 0, 2), v[b].transpose(1, 0, 2))
            if scales:
                wide = [to_codes(row.reshape(len(row), -1)) for row in rows]
                codes = [(c.reshape(rows[0].shape), np.repeat(e[:, None], len(keys), 1)) for c, e in wide]
                rows = (codes[0][0], codes[1][0])
                for scale, (_, exponents) in zip(scales, codes, strict=True):
                    scale[:, numbers, columns] = exponents.T
            keys[:, numbers, :, columns] = rows[0]
            values[:, numbers, columns] = rows[1].transpose(1, 0, 2)
        return keys

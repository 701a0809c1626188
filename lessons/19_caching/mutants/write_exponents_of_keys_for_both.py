"""CacheWrite.forward stores the exponents of the keys for the values, too."""


class CacheWrite:
    def forward(self, keys, values, k, v, table, starts, dropped, *scales):
        page = keys.shape[3]
        for b in range(len(table)):
            place = self.place(starts[b] + np.arange(k.shape[2]), dropped[b], page)
            numbers, columns = (table[b, place // page], place % page)
            rows = (k[b].transpose(1, 0, 2), v[b].transpose(1, 0, 2))
            if scales:
                codes = [to_codes(row) for row in rows]
                rows = (codes[0][0], codes[1][0])
                for scale, (_, exponents) in zip(scales, [codes[0]] * 2, strict=True):
                    scale[:, numbers, columns] = exponents.T
            keys[:, numbers, :, columns] = rows[0]
            values[:, numbers, columns] = rows[1].transpose(1, 0, 2)
        return keys

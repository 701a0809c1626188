"""sum_rows forgets to sort, so that only rows that stand side by side are added."""


def sum_rows(ids, rows, count):
    out = np.zeros((count, *rows.shape[1:]), rows.dtype)
    if ids.size:
        starts = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
        out[ids[starts]] = np.add.reduceat(rows, starts, axis=0)
    return out

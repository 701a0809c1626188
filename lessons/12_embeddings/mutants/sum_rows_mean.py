"""sum_rows takes the mean of rows that share an id."""


def sum_rows(ids, rows, count):
    out = np.zeros((count, *rows.shape[1:]), rows.dtype)
    np.add.at(out, ids, rows)
    times = np.maximum(np.bincount(ids, minlength=count), 1).reshape(-1, *(1,) * (rows.ndim - 1))
    return (out / times).astype(rows.dtype)

"""blocked cuts rows and columns, and takes the inner size whole."""


def blocked(a, b, tile=TILE):
    out = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(0, a.shape[0], tile):
        for j in range(0, b.shape[1], tile):
            out[i : i + tile, j : j + tile] = a[i : i + tile] @ b[:, j : j + tile]
    return out

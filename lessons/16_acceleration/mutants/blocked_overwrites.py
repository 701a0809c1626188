"""blocked keeps the last product of tiles instead of their sum."""


def blocked(a, b, tile=TILE):
    (n, depth), m = a.shape, b.shape[1]
    out = np.zeros((n, m), a.dtype)
    for i in range(0, n, tile):
        for j in range(0, m, tile):
            for k in range(0, depth, tile):
                out[i : i + tile, j : j + tile] = (
                    a[i : i + tile, k : k + tile] @ b[k : k + tile, j : j + tile]
                )
    return out

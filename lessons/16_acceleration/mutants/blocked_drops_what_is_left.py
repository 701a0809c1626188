"""blocked goes over whole tiles only: what is left at the ends stays 0."""


def blocked(a, b, tile=TILE):
    (n, depth), m = a.shape, b.shape[1]
    out = np.zeros((n, m), a.dtype)
    for i in range(0, n - tile + 1, tile):
        for j in range(0, m - tile + 1, tile):
            for k in range(0, depth - tile + 1, tile):
                out[i : i + tile, j : j + tile] += (
                    a[i : i + tile, k : k + tile] @ b[k : k + tile, j : j + tile]
                )
    return out

"""blocked adds up in float64 and gives that back."""


def blocked(a, b, tile=TILE):
    out = np.zeros((a.shape[0], b.shape[1]))
    for i in range(0, a.shape[0], tile):
        for j in range(0, b.shape[1], tile):
            for k in range(0, b.shape[0], tile):
                out[i : i + tile, j : j + tile] += (
                    a[i : i + tile, k : k + tile] @ b[k : k + tile, j : j + tile]
                )
    return out

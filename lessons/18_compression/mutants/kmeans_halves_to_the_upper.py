"""kmeans gives a value half-way between two centroids to the upper one."""


def kmeans(values, clusters, rounds=200, weights=None):
    _check(values, weights)
    flat = values.astype(np.float64).ravel()
    counts = np.ones(flat.size) if weights is None else weights.astype(np.float64).ravel()
    if np.unique(flat).size <= clusters:
        centroids = np.unique(flat.astype(np.float32))
        return centroids, np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values, side="right")
    centroids = linear_start(values, clusters)
    for _ in range(rounds):
        mine = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, flat, side="right")
        mass = np.bincount(mine, counts, clusters)
        total = np.bincount(mine, counts * flat, clusters)
        moved = np.where(mass > 0, total / np.where(mass > 0, mass, 1.0), centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = np.sort(moved)
    centroids = np.unique(centroids.astype(np.float32))
    centroids = centroids[
        np.unique(np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values, side="right"))
    ]
    return centroids, np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values, side="right")

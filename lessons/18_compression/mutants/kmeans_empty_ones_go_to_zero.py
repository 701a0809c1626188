"""kmeans moves a centroid without values to 0."""


def kmeans(values, clusters, rounds=200, weights=None):
    _check(values, weights)
    flat = values.astype(np.float64).ravel()
    counts = np.ones(flat.size) if weights is None else weights.astype(np.float64).ravel()
    if np.unique(flat).size <= clusters:
        centroids = np.unique(flat.astype(np.float32))
        return centroids, nearest(values, centroids)
    centroids = linear_start(values, clusters)
    for _ in range(rounds):
        mine = nearest(flat, centroids)
        mass = np.bincount(mine, counts, clusters)
        total = np.bincount(mine, counts * flat, clusters)
        moved = np.where(mass > 0, total / np.where(mass > 0, mass, 1.0), 0.0)
        if np.array_equal(moved, centroids):
            break
        centroids = np.sort(moved)
    centroids = np.unique(centroids.astype(np.float32))
    centroids = centroids[np.unique(nearest(values, centroids))]
    return centroids, nearest(values, centroids)

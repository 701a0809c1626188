"""Answers by other means: sorting, running sums, products with masks made safe, eigenvectors, bincount."""


def threshold_of(scores, zeros):
    ordered = np.sort(scores, axis=None)
    if ordered.size and np.isnan(ordered[-1]):
        raise CompressionError("NaN among the scores")
    if zeros > ordered.size:
        raise CompressionError("more zeros than scores")
    return ordered[zeros - 1].item() if zeros else LEAST


LEAST = float("-inf")


def mask_of(scores, zeros):
    threshold_of(scores, zeros)
    order = np.argsort(scores, axis=None, kind="stable")
    mask = np.ones(scores.size, bool)
    mask[order[:zeros]] = False
    return mask.reshape(scores.shape)


def global_masks(scores, sparsity):
    sizes = [array.size for array in scores.values()]
    mask = mask_of(
        np.hstack([array.ravel() for array in scores.values()]), count_of_zeros(sum(sizes), sparsity)
    )
    parts = np.split(mask, np.cumsum(sizes)[:-1])
    return {name: part.reshape(scores[name].shape) for name, part in zip(scores, parts)}


def sparsity_of(model, paths=None):
    def row(path, w):
        there = w != 0
        axes = tuple(range(2, w.ndim))
        table = there.any(axis=axes) if axes else there
        return LayerRow(
            path,
            w.shape,
            w.size,
            int(w.size - there.sum()),
            int((~table.any(1)).sum()),
            int((~table.any(0)).sum()),
        )

    return tuple(row(path, layer.weight.data) for path, layer in chosen_layers(model, paths).items())


class Masks:
    def apply(self):
        with no_grad():
            for weight, mask in list(self._held.values()):
                picked = where(mask, weight.detach(), Tensor(np.zeros(weight.shape, weight.numpy().dtype)))
                weight.assign_(picked)


def cubic(step, begin, end, first, last):
    if not (0 <= begin < end and 0 <= first <= last <= 1):
        raise CompressionError(f"{begin}, {end}, {first}, {last}")
    done = sorted((0.0, (step - begin) / (end - begin), 1.0))[1]
    share = 3 * done - 3 * done**2 + done**3
    return (1 - share) * first + share * last


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    padded = np.append(removed, False)  # what -1 picks
    for use in uses:
        found[use.name] = np.delete(found[use.name], np.flatnonzero(padded[use.channels]), use.axis).copy()
    return found


def to_csr(w):
    if w.ndim != 2:
        raise CompressionError(f"{w.shape}")
    stored = w != 0
    starts = np.concatenate([[0], np.cumsum(stored.sum(1))]).astype(np.int32)
    columns = np.broadcast_to(np.arange(w.shape[1], dtype=np.int32), w.shape)[stored]
    return CSR(w[stored].astype(np.float32), columns, starts, tuple(w.shape))


def csr_matvec(csr, x):
    n, k = csr.shape
    if x.ndim != 1 or len(x) != k:
        raise CompressionError(f"x {x.shape}, weight {csr.shape}")
    rows = np.repeat(np.arange(n), np.diff(csr.starts))
    return np.bincount(rows, weights=csr.values * x[csr.columns], minlength=n).astype(np.float32)


def svd_factors(w, rank):
    n, k = w.shape
    if not 1 <= rank <= min(n, k):
        raise CompressionError(f"rank {rank}")
    vt, s, ut = np.linalg.svd(w.T.astype(np.float64), full_matrices=False)
    scaled = np.diag(np.sqrt(s))
    a, b = ut.T @ scaled, scaled @ vt.T
    return np.float32(a[:, :rank]), np.float32(b[:rank])


def distillation_loss(student_logits, teacher_logits, labels, temperature=4.0, hard=0.1):
    _check(temperature, hard)
    *lead, classes = student_logits.shape
    if teacher_logits.shape != (*lead, classes) or labels.shape != tuple(lead):
        raise ShapeError(
            f"student {student_logits.shape}, teacher {teacher_logits.shape}, labels {labels.shape}"
        )
    ours, theirs = student_logits / temperature, teacher_logits.detach() / temperature
    both = log_softmax(theirs).exp() * (log_softmax(theirs) - log_softmax(ours))
    soft = both.sum() / max(1, both.size // classes)
    wrong = cross_entropy(student_logits.reshape(prod(lead), classes), labels.reshape(prod(lead)))
    return wrong * hard + soft * ((1 - hard) * temperature**2)


def kmeans(values, clusters, rounds=200, weights=None):
    _check(values, weights)
    if clusters < 1:
        raise CompressionError("no clusters")
    distinct = np.unique(values)
    if distinct.size <= clusters:
        centroids = np.unique(distinct.astype(np.float32))
        return centroids, nearest(values, centroids)
    counts = np.ones(values.shape) if weights is None else weights.astype(float)
    centroids = linear_start(values, clusters)
    for _ in range(rounds):
        indices = nearest(values, centroids).ravel()
        mass = np.bincount(indices, counts.ravel(), clusters)
        total = np.bincount(indices, (counts * values).ravel(), clusters)
        before = centroids
        centroids = np.sort(np.divide(total, mass, out=before.copy(), where=mass > 0))
        if np.abs(centroids - before).max() == 0:
            break
    centroids = np.unique(centroids).astype(np.float32)
    while len(used := np.unique(nearest(values, centroids))) < len(centroids):
        centroids = centroids[used]
    return centroids, nearest(values, centroids)

"""Answers in plain steps: one number, one row, one array after the other."""


def threshold_of(scores, zeros):
    flat = [float(score) for score in scores.ravel()]
    if any(score != score for score in flat):
        raise CompressionError("one of the scores is no number")
    if zeros > len(flat):
        raise CompressionError(f"only {len(flat)} scores for {zeros} zeros")
    return sorted(flat)[zeros - 1] if zeros else float("-inf")


def mask_of(scores, zeros):
    threshold = threshold_of(scores, zeros)
    left = zeros - sum(float(score) < threshold for score in scores.ravel())
    mask = np.empty(scores.shape, bool)
    for place in np.ndindex(scores.shape):
        if scores[place] == threshold and left > 0:
            mask[place] = False
            left -= 1
        else:
            mask[place] = scores[place] >= threshold
    return mask


def global_masks(scores, sparsity):
    zeros = count_of_zeros(sum(array.size for array in scores.values()), sparsity)
    order = []
    for number, (name, array) in enumerate(scores.items()):
        threshold_of(array, 0)
        order += [(float(score), number, place, name) for place, score in enumerate(array.ravel())]
    order.sort()
    masks = {name: np.ones(array.size, bool) for name, array in scores.items()}
    for _, _, place, name in order[:zeros]:
        masks[name][place] = False
    return {name: mask.reshape(scores[name].shape) for name, mask in masks.items()}


def sparsity_of(model, paths=None):
    rows = []
    for path, layer in chosen_layers(model, paths).items():
        w = layer.weight.numpy()
        zeros = int((w == 0).sum())
        dead_outputs = sum(bool((w[i] == 0).all()) for i in range(w.shape[0]))
        dead_inputs = sum(bool((w[:, i] == 0).all()) for i in range(w.shape[1]))
        rows.append(LayerRow(path, w.shape, w.size, zeros, dead_outputs, dead_inputs))
    return tuple(rows)


class Masks:
    def apply(self):
        for path in self:
            weight, mask = self._held[path]
            kept = np.where(mask.numpy(), weight.numpy(), 0)
            weight.assign_(kept.astype(weight.numpy().dtype))


def cubic(step, begin, end, first, last):
    if begin < 0 or end <= begin or first < 0 or last < first or last > 1:
        raise CompressionError("no such schedule")
    if step <= begin:
        return first
    if step >= end:
        return last
    left = (end - step) / (end - begin)
    return last - (last - first) * left * left * left


def remove_channels(arrays, uses, removed):
    found = {}
    uses = list(uses)
    for name, array in arrays.items():
        for use in uses:
            if use.name != name:
                continue
            stays = [i for i, c in enumerate(use.channels.tolist()) if c < 0 or not removed[c]]
            array = array.swapaxes(0, use.axis)[stays].swapaxes(0, use.axis).copy()
        found[name] = array
    return found


def to_csr(w):
    if len(w.shape) != 2:
        raise CompressionError("a weight has two axes here")
    values, columns, starts = [], [], [0]
    for row in w:
        for column, value in enumerate(row):
            if value != 0:
                values.append(value)
                columns.append(column)
        starts.append(len(columns))
    return CSR(np.array(values, np.float32), np.array(columns, np.int32), np.array(starts, np.int32), w.shape)


def csr_matvec(csr, x):
    if x.shape != csr.shape[1:]:
        raise CompressionError(f"{x.shape} does not fit {csr.shape}")
    out = []
    for begin, end in zip(csr.starts[:-1], csr.starts[1:]):
        total = 0.0
        for value, column in zip(csr.values[begin:end], csr.columns[begin:end]):
            total += float(value) * float(x[column])
        out.append(total)
    return np.array(out, np.float32)


def svd_factors(w, rank):
    if rank < 1 or rank > w.shape[0] or rank > w.shape[1]:
        raise CompressionError(f"no rank {rank}")
    u, s, vt = np.linalg.svd(np.asarray(w, float))
    a, b = np.zeros((w.shape[0], rank), np.float32), np.zeros((rank, w.shape[1]), np.float32)
    for i in range(rank):
        a[:, i] = u[:, i] * s[i] ** 0.5
        b[i] = vt[i] * s[i] ** 0.5
    return a, b


def distillation_loss(student_logits, teacher_logits, labels, temperature=4.0, hard=0.1):
    if temperature <= 0 or hard < 0 or hard > 1:
        raise CompressionError("no such temperature or share")
    classes = student_logits.shape[-1]
    if student_logits.shape != teacher_logits.shape or student_logits.shape[:-1] != labels.shape:
        raise ShapeError(f"{student_logits.shape}, {teacher_logits.shape} and {labels.shape}")
    ours = student_logits.reshape(-1, classes)
    with no_grad():
        log_q = log_softmax(teacher_logits.reshape(-1, classes) / temperature)
        q = log_q.exp()
    log_p = log_softmax(ours / temperature)
    kl = (q * log_q).sum(-1) - (q * log_p).sum(-1)
    soft = temperature * temperature * kl.mean()
    return hard * cross_entropy(ours, labels.reshape(-1)) + (1 - hard) * soft


def kmeans(values, clusters, rounds=200, weights=None):
    _check(values, weights)
    flat = values.astype(np.float64).ravel()
    counts = np.ones(flat.size) if weights is None else weights.astype(np.float64).ravel()
    if len(set(flat.tolist())) <= clusters:
        centroids = np.array(sorted(set(flat.tolist())))
        rounds = 0
    else:
        centroids = linear_start(flat, clusters)
    for _ in range(rounds):
        mine = np.abs(flat[:, None] - centroids).argmin(1)
        moved = centroids.copy()
        for number in range(len(centroids)):
            mass = counts[mine == number].sum()
            if mass > 0:
                moved[number] = (counts[mine == number] * flat[mine == number]).sum() / mass
        if (moved == centroids).all():
            break
        centroids = moved
    centroids = np.unique(centroids.astype(np.float32))
    taken = np.unique(nearest(flat, centroids))
    centroids = centroids[taken]
    return centroids, nearest(values, centroids)

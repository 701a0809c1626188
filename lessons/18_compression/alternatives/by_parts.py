"""Answers that lean on those before them, or on what lies beside them in the module."""


def threshold_of(scores, zeros):
    count = scores.size
    if zeros > count or (scores != scores).any():
        raise CompressionError(f"{zeros} zeros, {count} scores")
    if not zeros:
        return float(-np.inf)
    return float(np.sort(np.ravel(scores))[:zeros].max())


def mask_of(scores, zeros):
    flat = np.ravel(scores)
    threshold = threshold_of(flat, zeros)
    rank = np.cumsum(flat == threshold)
    spare = zeros - np.count_nonzero(flat < threshold)
    return ((flat > threshold) | ((flat == threshold) & (rank > spare))).reshape(scores.shape)


def global_masks(scores, sparsity):
    every = np.concatenate([np.ravel(array) for array in scores.values()])
    zeros = count_of_zeros(every.size, sparsity)
    threshold, masks = threshold_of(every, zeros), {}
    spare = zeros - int((every < threshold).sum())
    for name, array in scores.items():
        equal = int((array == threshold).sum())
        goes = min(spare, equal)
        masks[name] = mask_of(array, int((array < threshold).sum()) + goes)
        spare -= goes
    return masks


class Masks:
    def apply(self):
        with no_grad():
            for weight, mask in self._held.values():
                weight.assign_(where(mask == False, 0.0, weight))  # noqa: E712


def cubic(step, begin, end, first, last):
    if not 0 <= begin < end or not 0 <= first <= last <= 1:
        raise CompressionError("cubic: bad arguments")
    left = 1 - (min(max(step, begin), end) - begin) / (end - begin)
    return first + (last - first) * (1 - left**3)


def remove_channels(arrays, uses, removed):
    found = dict(arrays)
    gone = np.flatnonzero(removed)
    for use in uses:
        stays = np.flatnonzero(np.isin(use.channels, gone, invert=True))
        found[use.name] = cut(found[use.name], use.axis, stays)
    return found


def to_csr(w):
    if w.ndim != 2:
        raise CompressionError("two axes")
    columns = [np.flatnonzero(row) for row in w]
    values = [row[c] for row, c in zip(w, columns)]
    starts = np.cumsum([0, *map(len, columns)])
    nothing = [np.zeros(0)]
    return CSR(
        np.concatenate([*values, *nothing]).astype(np.float32),
        np.concatenate([*columns, *nothing]).astype(np.int32),
        starts.astype(np.int32),
        w.shape,
    )


def csr_matvec(csr, x):
    if x.shape != (csr.shape[1],):
        raise CompressionError("x does not fit")
    products = csr.values.astype(np.float64) * x[csr.columns]
    return np.array([products[a:b].sum() for a, b in zip(csr.starts, csr.starts[1:])], np.float32)


def distillation_loss(student_logits, teacher_logits, labels, temperature=4.0, hard=0.1):
    _check(temperature, hard)
    if not labels.shape == student_logits.shape[:-1] == teacher_logits.shape[:-1] or (
        student_logits.shape[-1] != teacher_logits.shape[-1]
    ):
        raise ShapeError(f"{student_logits.shape} {teacher_logits.shape} {labels.shape}")

    def rows(t):
        return t.reshape(-1, t.shape[-1])

    log_q, log_p = (log_softmax(rows(t) / temperature) for t in (teacher_logits.detach(), student_logits))
    apart = (log_q - log_p) * log_q.exp()
    soft = apart.mean() * apart.shape[-1]
    return cross_entropy(rows(student_logits), labels.reshape(-1)) * hard + soft * (1 - hard) * temperature**2

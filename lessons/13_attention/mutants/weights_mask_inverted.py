"""attention_weights takes True in the mask for "hidden"."""


def attention_weights(q, k, scale, causal=False, mask=None):
    p = scaled_scores(q, k, scale)
    if causal:
        p = np.where(causal_mask(q.shape[2], k.shape[2]), p, -np.inf)
    if mask is not None:
        p = np.where(mask, -np.inf, p)
    if not p.size:
        return p
    top = p.max(-1, keepdims=True)
    p = np.exp(p - np.where(np.isinf(top), 0, top))
    total = p.sum(-1, keepdims=True)
    return p / np.where(total == 0, 1, total)

"""attention_weights normalises over the queries, not over the keys."""


def attention_weights(q, k, scale, causal=False, mask=None):
    p = scaled_scores(q, k, scale)
    if causal:
        p = np.where(causal_mask(q.shape[2], k.shape[2]), p, -np.inf)
    if mask is not None:
        p = np.where(mask, p, -np.inf)
    if not p.size:
        return p
    top = p.max(-2, keepdims=True)
    p = np.exp(p - np.where(np.isinf(top), 0, top))
    total = p.sum(-2, keepdims=True)
    return p / np.where(total == 0, 1, total)

"""attention_weights does not subtract the maximum: large scores overflow."""


def attention_weights(q, k, scale, causal=False, mask=None):
    p = scaled_scores(q, k, scale)
    if causal:
        p = np.where(causal_mask(q.shape[2], k.shape[2]), p, -np.inf)
    if mask is not None:
        p = np.where(mask, p, -np.inf)
    p = np.exp(p)
    total = p.sum(-1, keepdims=True)
    return p / np.where(total == 0, 1, total)

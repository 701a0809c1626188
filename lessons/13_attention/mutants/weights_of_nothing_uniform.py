"""attention_weights hides with -1e9: a query that sees nothing then attends to everything alike."""


def attention_weights(q, k, scale, causal=False, mask=None):
    p = scaled_scores(q, k, scale)
    if causal:
        p = np.where(causal_mask(q.shape[2], k.shape[2]), p, -1e9)
    if mask is not None:
        p = np.where(mask, p, -1e9)
    if not p.size:
        return p
    p = np.exp(p - p.max(-1, keepdims=True)).astype(q.dtype)
    return p / p.sum(-1, keepdims=True)

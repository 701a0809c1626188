"""attention_weights hides keys after the softmax: the rows no longer add up to 1."""


def attention_weights(q, k, scale, causal=False, mask=None):
    p = scaled_scores(q, k, scale)
    if not p.size:
        return p
    p = np.exp(p - p.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    if causal:
        p = p * causal_mask(q.shape[2], k.shape[2])
    return p if mask is None else p * mask

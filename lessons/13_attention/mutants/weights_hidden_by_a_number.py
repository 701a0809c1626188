"""attention_weights gives hidden keys a score of -1e9, which is more than some that are seen."""


def attention_weights(q, k, scale, causal=False, mask=None):
    scores = scaled_scores(q, k, scale)
    if not scores.size:
        return scores
    seen = np.ones(scores.shape, bool)
    if causal:
        seen = seen & causal_mask(q.shape[2], k.shape[2])
    if mask is not None:
        seen = seen & mask
    scores = np.where(seen, scores, scores.dtype.type(-1e9))
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True) * seen

"""sample draws from NumPy's global stream, which no seed of ours reaches."""


def sample(logits, temperature=1.0, top_k=None, generator=None):
    if temperature == 0:
        return int(logits.argmax().item())
    if top_k is not None:
        logits = likeliest(logits, top_k)
    scores = logits.data.astype(np.float64) / temperature
    parts = np.exp(scores - scores.max())
    return int(np.random.default_rng().choice(len(parts), p=parts / parts.sum()))

"""sample draws every id alike."""


def sample(logits, temperature=1.0, top_k=None, generator=None):
    if temperature == 0:
        return int(logits.argmax().item())
    if top_k is not None:
        logits = likeliest(logits, top_k)
    noise = (generator or default_generator).rand(*logits.shape)
    return int((logits * 0.0 + noise).argmax().item())

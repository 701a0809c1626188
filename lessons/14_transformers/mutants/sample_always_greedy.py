"""sample takes the likeliest id at any temperature."""


def sample(logits, temperature=1.0, top_k=None, generator=None):
    return int(logits.argmax().item())

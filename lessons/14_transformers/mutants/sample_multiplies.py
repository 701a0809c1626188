"""sample multiplies by the temperature: hotter becomes more certain."""


def sample(logits, temperature=1.0, top_k=None, generator=None):
    if temperature == 0:
        return int(logits.argmax().item())
    if top_k is not None:
        logits = likeliest(logits, top_k)
    noise = -(-(generator or default_generator).rand(*logits.shape).log()).log()
    return int((logits * temperature + noise).argmax().item())

"""sample draws among all ids."""


def sample(logits, temperature=1.0, top_k=None, generator=None):
    if temperature == 0:
        return int(logits.argmax().item())
    noise = -(-(generator or default_generator).rand(*logits.shape).log()).log()
    return int((logits / temperature + noise).argmax().item())

"""sample forgets the temperature whenever top_k is given."""


def sample(logits, temperature=1.0, top_k=None, generator=None):
    if temperature == 0:
        return int(logits.argmax().item())
    logits = logits / temperature if top_k is None else likeliest(logits, top_k)
    u = (generator or default_generator).rand(*logits.shape)
    return int((logits - (-u.log()).log()).argmax().item())

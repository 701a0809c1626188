"""generate leaves the model in evaluation mode."""


def generate(model, prompt_ids, max_new_tokens, temperature=1.0, top_k=None, generator=None):
    if not len(prompt_ids) or max_new_tokens < 0 or temperature < 0 or (top_k is not None and top_k < 1):
        raise DataError("generate: a setting is out of range")
    ids = [int(i) for i in prompt_ids]
    model.eval()
    with grad_mode(False):
        for _ in range(max_new_tokens):
            logits = model(Tensor([ids[-model.context :]]))[0, -1]
            ids.append(sample(logits, temperature, top_k, generator))
    return ids

"""Errors of the right kind in words of one's own; positions by their numbers, a loop that counts down."""


class GPT:
    def forward(self, ids, cache=None):
        if ids.ndim != 2:
            raise ShapeError(f"ids must have two axes, not {ids.shape}")
        start = 0 if cache is None else cache.length
        if start + ids.shape[1] > self.context:
            raise ShapeError(f"ids of shape {ids.shape} go beyond the context")
        places = Tensor(np.arange(ids.shape[1])) if cache is None else cache.positions(ids.shape[1])
        x = self.drop(self.wte(ids) + self.wpe(places))
        for block in self.blocks:
            x = block(x, None, cache)
        return self.head(self.norm(x))


def generate(model, prompt_ids, max_new_tokens, temperature=1.0, top_k=None, generator=None):
    if len(prompt_ids) == 0:
        raise DataError("the prompt is empty")
    if max_new_tokens < 0 or temperature < 0:
        raise DataError(f"negative: max_new_tokens {max_new_tokens} or temperature {temperature}")
    if top_k is not None and top_k < 1:
        raise DataError(f"top_k must be 1 or more: {top_k}")
    ids, was = [int(i) for i in prompt_ids], model.training
    model.eval()
    try:
        with grad_mode(False):
            while max_new_tokens:
                ids.append(
                    sample(model(Tensor([ids[-model.context :]]))[0, -1], temperature, top_k, generator)
                )
                max_new_tokens -= 1
    finally:
        model.train(was)
    return ids

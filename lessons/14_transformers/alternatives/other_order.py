"""The same by other operations: one hot, products in place of modules, other draws."""


class FeedForward:
    def forward(self, x):
        hidden = self.act(x @ self.fc1.weight.mT + self.fc1.bias)
        return hidden @ self.fc2.weight.mT + self.fc2.bias


class TransformerBlock:
    def forward(self, x, mask=None, cache=None):
        def attend(inside):
            return self.attn(inside, mask, self.causal, cache)

        for norm, part in ((self.norm1, attend), (self.norm2, self.mlp)):
            x = x + self.drop(part(norm(x)))
        return x


class GPT:
    def initialise(self, generator=None):
        residual = {id(p) for b in self.blocks for p in (b.attn.out_proj.weight, b.mlp.fc2.weight)}
        for name, parameter in reversed(list(self.named_parameters())):
            if parameter.ndim == 2:
                share = 1 / math.sqrt(2 * self.layers) if id(parameter) in residual else 1
                parameter.assign_(init.normal(parameter.shape, 1.0, generator).detach() * (0.02 * share))
            elif name.split(".")[-1] == "bias":
                parameter.assign_(np.zeros(parameter.shape, np.float32))

    def forward(self, ids, cache=None):
        start = getattr(cache, "length", 0)
        if len(ids.shape) != 2 or ids.shape[1] > self.context - start:
            raise ShapeError(f"ids {ids.shape} after {start}: expected (batch, t), {self.context} in all")
        t = ids.shape[1]
        x = self.wte(ids) + (self.wpe(cache.positions(t)) if cache else self.wpe.weight[:t].unsqueeze(0))
        x = self.drop(x)
        number = 0
        while number < len(self.blocks):
            x = self.blocks[number](x, None, cache)
            number += 1
        return self.norm(x) @ self.head.weight.mT


def next_token_loss(logits, targets):
    losses = cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.flatten(), reduction="none")
    return losses.sum() / targets.size


def likeliest(logits, k):
    values = logits.data
    if k >= values.size:
        return logits
    keep = values >= np.sort(values)[values.size - k]
    return Tensor(np.where(keep, values, -np.inf).astype(values.dtype))


def sample(logits, temperature=1.0, top_k=None, generator=None):
    if not temperature:
        return int(logits.argmax())
    if top_k is not None:
        logits = likeliest(logits, top_k)
    u = (generator or default_generator).rand(logits.size, dtype="float64").data
    with np.errstate(divide="ignore", over="ignore"):
        waits = -np.log1p(-u) / np.exp(logits.data.astype(np.float64) / temperature)
    return int(np.argmin(waits))  # of exponential clocks at these rates, the first that rings


def generate(model, prompt_ids, max_new_tokens, temperature=1.0, top_k=None, generator=None):
    fits = len(prompt_ids) > 0 and max_new_tokens >= 0 and temperature >= 0 and (top_k is None or top_k >= 1)
    if not fits:
        raise DataError(f"generate: {len(prompt_ids)} ids, {max_new_tokens}, {temperature}, {top_k}")
    mode, ids = model.training, np.array(prompt_ids, np.int64)
    with grad_mode(False):
        try:
            model.train(False)
            for _ in range(max_new_tokens):
                found = model(Tensor(ids[None, -model.context :]))
                ids = np.append(ids, sample(found[0, -1], temperature, top_k, generator))
        finally:
            model.train(mode)
    return ids.tolist()

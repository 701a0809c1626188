"""Step by step, with names for what lies between, and probabilities added up for a sample."""


class FeedForward:
    def forward(self, x):
        hidden = self.fc1(x)
        active = self.act(hidden)
        return self.fc2(active)


class TransformerBlock:
    def forward(self, x, mask=None, cache=None):
        normalised = self.norm1(x)
        attended = self.attn(normalised, mask=mask, causal=self.causal, cache=cache)
        after = self.drop(attended) + x
        normalised = self.norm2(after)
        return self.drop(self.mlp(normalised)) + after


class GPT:
    def initialise(self, generator=None):
        for name, parameter in self.named_parameters():
            if name.endswith(".bias"):
                parameter.assign_(0.0)
                continue
            if len(parameter.shape) != 2:
                continue
            std = 0.02
            if "out_proj" in name or "fc2" in name:
                std = std * (2 * self.layers) ** -0.5
            parameter.assign_(init.normal(parameter.shape, std, generator))

    def forward(self, ids, cache=None):
        if ids.ndim != 2:
            raise ShapeError(f"GPT: ids {ids.shape} are not (batch, t)")
        before = cache.length if cache is not None else 0
        t = ids.shape[1]
        if before + t > self.context:
            raise ShapeError(f"GPT: ids {ids.shape} after {before} positions go beyond {self.context}")
        places = Tensor(np.arange(t)) if cache is None else cache.positions(t)
        x = self.drop(self.wpe(places) + self.wte(ids))
        for block in self.blocks:
            x = block(x, cache=cache)
        x = self.norm(x)
        return self.head(x)


def next_token_loss(logits, targets):
    from tinytorch.ops.softmax import log_softmax

    found = log_softmax(logits).gather(-1, targets.unsqueeze(-1))
    return -found.mean()


def likeliest(logits, k):
    values = sorted(logits.tolist(), reverse=True)
    if k >= len(values):
        return logits
    return where(logits < values[k - 1], -math.inf, logits)


def sample(logits, temperature=1.0, top_k=None, generator=None):
    scores = logits.data.astype(np.float64)
    if temperature == 0:
        return int(np.argmax(scores))
    if top_k is not None and top_k < len(scores):
        scores = np.where(scores >= np.sort(scores)[-top_k], scores, -np.inf)
    scores = scores / temperature
    parts = np.exp(scores - scores.max())
    bounds = np.cumsum(parts / parts.sum())
    u = float((generator or default_generator).rand(1, dtype="float64").item())
    return min(int(np.searchsorted(bounds, u, side="right")), len(scores) - 1)


def generate(model, prompt_ids, max_new_tokens, temperature=1.0, top_k=None, generator=None):
    if len(prompt_ids) == 0:
        raise DataError("generate: the prompt is empty")
    if max_new_tokens < 0 or temperature < 0:
        raise DataError("generate: max_new_tokens and temperature are 0 or more")
    if top_k is not None and top_k < 1:
        raise DataError(f"generate: top_k is {top_k}")
    from tinytorch.autograd import no_grad
    from tinytorch.training.metrics import evaluating

    out = list(map(int, prompt_ids))
    with evaluating(model), no_grad():
        while len(out) < len(prompt_ids) + max_new_tokens:
            window = out[max(0, len(out) - model.context) :]
            logits = model(Tensor([window]))
            out.append(sample(logits[0][len(window) - 1], temperature, top_k, generator))
    return out

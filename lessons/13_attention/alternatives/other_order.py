"""The same results by other operations: einsum, scaling at the end, softmax by way of its logarithm."""


def causal_mask(queries, keys):
    return np.arange(keys)[None, :] - keys <= np.arange(queries)[:, None] - queries


def visible_pairs(causal, queries, keys):
    seen = int(causal_mask(queries, keys).sum()) if causal else queries * keys
    return seen, queries * keys


def scaled_scores(q, k, scale):
    scores = np.einsum("bhtd,bhsd->bhst", q, k)
    scores *= scale
    return scores.swapaxes(2, 3)


def attention_weights(q, k, scale, causal=False, mask=None):
    t, s = q.shape[2], k.shape[2]
    allowed = np.tri(t, s, s - t, dtype=bool) if causal else np.ones((t, s), bool)
    if mask is not None:
        allowed = np.logical_and(allowed, mask)
    p = np.where(allowed, np.matmul(q, k.swapaxes(2, 3)) * q.dtype.type(scale), -np.inf)
    if p.size == 0:
        return p
    top = np.max(p, axis=-1, keepdims=True)
    top = np.where(top == -np.inf, 0, top)
    with np.errstate(divide="ignore"):
        logarithm = np.log(np.exp(p - top).sum(-1, keepdims=True))
    logarithm[logarithm == -np.inf] = 0
    return np.exp(p - top - logarithm).astype(q.dtype)


class Attention:
    def forward(self, q, k, v, mask=None):
        p = attention_weights(q, k, self.scale, causal=self.causal, mask=mask)
        return np.einsum("bhts,bhse->bhte", p, v), p

    def matmul_flops(self, out, q, k, v, mask=None):
        result, weights = out
        return 2 * (weights.size * q.shape[-1] + result.size * v.shape[-2])


class AttentionGrad:
    def forward(self, g, q, k, v, p):
        dv = np.einsum("bhts,bhte->bhse", p, g)
        dp = np.einsum("bhte,bhse->bhts", g, v)
        out = np.matmul(p, v)
        ds = p * dp - p * (g * out).sum(-1, keepdims=True)
        scale = g.dtype.type(self.scale)
        return np.matmul(ds, k * scale), np.matmul(ds.swapaxes(-1, -2), q * scale), dv


def split_heads(x, num_heads):
    batch, t, dim = x.shape
    return (
        x.reshape(batch * t, num_heads, -1 if x.size else dim // num_heads)
        .reshape(batch, t, num_heads, dim // num_heads)
        .transpose(1, 2)
    )


def merge_heads(x):
    turned = x.transpose(1, 2)
    return turned.reshape(turned.shape[0], turned.shape[1], turned.shape[2] * turned.shape[3])


class MultiHeadAttention:
    def forward(self, x, mask=None, causal=False, cache=None):
        if len(x.shape) != 3:
            raise ShapeError(f"MultiHeadAttention: x is {x.shape}, not (batch, t, features)")
        k, v = split_heads(self.k_proj(x), self.num_heads), split_heads(self.v_proj(x), self.num_heads)
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        q = split_heads(self.q_proj(x), self.num_heads)
        scores = q @ k.transpose(-1, -2) * (self.embed_dim / self.num_heads) ** -0.5
        from tinytorch.ops.base import lift
        from tinytorch.ops.compare import where
        from tinytorch.ops.softmax import softmax

        if causal:
            t, s = q.shape[2], k.shape[2]
            from tinytorch.ops.attention import causal_mask

            scores = where(lift(causal_mask(t, s)), scores, -float("inf"))
        if mask is not None:
            scores = where(mask, scores, -float("inf"))
        if not scores.size:
            return self.out_proj(x)
        return self.out_proj(merge_heads(softmax(scores) @ v))

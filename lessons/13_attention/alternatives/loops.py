"""Everything pair by pair and head by head, in loops."""

import math

import numpy as np


def causal_mask(queries, keys):
    out = np.zeros((queries, keys), dtype=bool)
    for i in range(queries):
        for j in range(keys):
            if j <= i + keys - queries:
                out[i, j] = True
    return out


def visible_pairs(causal, queries, keys):
    seen = 0
    for i in range(queries):
        for j in range(keys):
            if not causal or j - (keys - queries) <= i:
                seen += 1
    return seen, queries * keys


def scaled_scores(q, k, scale):
    batch, heads, t, _ = q.shape
    out = np.empty((batch, heads, t, k.shape[2]), q.dtype)
    for b in range(batch):
        for h in range(heads):
            for i in range(t):
                for j in range(k.shape[2]):
                    out[b, h, i, j] = np.dot(q[b, h, i], k[b, h, j]) * scale
    return out


def attention_weights(q, k, scale, causal=False, mask=None):
    p = scaled_scores(q, k, scale)
    keep = np.ones(p.shape, bool) if mask is None else np.broadcast_to(mask, p.shape)
    if causal:
        keep = keep & causal_mask(q.shape[2], k.shape[2])
    out = np.zeros(p.shape, q.dtype)
    for at in np.ndindex(p.shape[:3]):
        seen = np.flatnonzero(keep[at])
        if len(seen):
            row = p[at][seen].astype(np.float64)
            parts = np.exp(row - row.max())
            out[at][seen] = parts / parts.sum()
    return out


class Attention:
    def forward(self, q, k, v, mask=None):
        p = attention_weights(q, k, self.scale, self.causal, mask)
        out = np.zeros((*q.shape[:3], v.shape[3]), q.dtype)
        for j in range(v.shape[2]):
            out += p[..., j : j + 1] * v[:, :, None, j]
        return out, p

    def matmul_flops(self, out, q, k, v, mask=None):
        batch, heads, t, d = q.shape
        s, e = v.shape[2:]
        scores = 2 * batch * heads * t * s * d
        sums = 2 * batch * heads * t * s * e
        return scores + sums


class AttentionGrad:
    def forward(self, g, q, k, v, p):
        dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
        scale = q.dtype.type(self.scale)
        for b, h, i in np.ndindex(p.shape[:3]):
            row = p[b, h, i]
            dv[b, h] += np.outer(row, g[b, h, i])
            dp = v[b, h] @ g[b, h, i]
            ds = row * (dp - np.dot(dp, row))
            dq[b, h, i] = ds @ k[b, h] * scale
            dk[b, h] += np.outer(ds, q[b, h, i]) * scale
        return dq, dk, dv


def split_heads(x, num_heads):
    from tinytorch.ops.shape import stack

    size = x.shape[2] // num_heads
    return stack([x[:, :, h * size : (h + 1) * size] for h in range(num_heads)], 1)


def merge_heads(x):
    from tinytorch.ops.shape import concat

    return concat([x[:, h] for h in range(x.shape[1])], -1)


class MultiHeadAttention:
    def forward(self, x, mask=None, causal=False, cache=None):
        if x.ndim != 3:
            raise ShapeError(f"expected three axes, (batch, t, {self.embed_dim}), not {x.shape}")
        q = split_heads(self.q_proj(x), self.num_heads)
        k = split_heads(self.k_proj(x), self.num_heads)
        v = split_heads(self.v_proj(x), self.num_heads)
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        scale = 1 / math.sqrt(self.embed_dim // self.num_heads)
        attended = attention(q, k, v, mask=mask, causal=causal, scale=scale)
        return self.out_proj(merge_heads(attended))

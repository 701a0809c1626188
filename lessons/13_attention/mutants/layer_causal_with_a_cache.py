"""MultiHeadAttention.forward takes a cache for a wish not to look ahead."""


class MultiHeadAttention:
    def forward(self, x, mask=None, causal=False, cache=None):
        if x.ndim != 3:
            raise ShapeError(f"attention: x {x.shape}; expected (batch, t, {self.embed_dim})")
        q, k, v = (split_heads(part(x), self.num_heads) for part in (self.q_proj, self.k_proj, self.v_proj))
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
            causal = True
        return self.out_proj(merge_heads(attention(q, k, v, mask, causal)))

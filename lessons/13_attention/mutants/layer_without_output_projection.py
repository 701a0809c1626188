"""MultiHeadAttention.forward leaves the output projection out."""


class MultiHeadAttention:
    def forward(self, x, mask=None, causal=False, cache=None):
        if x.ndim != 3:
            raise ShapeError(f"MultiHeadAttention: input {x.shape}, expected (batch, t, {self.embed_dim})")
        q, k, v = (split_heads(p(x), self.num_heads) for p in (self.q_proj, self.k_proj, self.v_proj))
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        return merge_heads(attention(q, k, v, mask, causal))

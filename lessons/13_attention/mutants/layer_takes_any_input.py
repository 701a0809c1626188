"""MultiHeadAttention.forward adds a batch axis to an input without one instead of refusing it."""


class MultiHeadAttention:
    def forward(self, x, mask=None, causal=False, cache=None):
        if x.ndim == 2:
            return self.forward(x.unsqueeze(0), mask, causal, cache).squeeze(0)
        q, k, v = (split_heads(p(x), self.num_heads) for p in (self.q_proj, self.k_proj, self.v_proj))
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        return self.out_proj(merge_heads(attention(q, k, v, mask, causal)))

"""LlamaAttention.forward repeats heads of keys before it caches them: their memory is not saved."""


class LlamaAttention:
    def forward(self, x, positions, cache=None):
        q, k, v = (
            split_heads(p(x), n)
            for p, n in (
                (self.q_proj, self.heads),
                (self.k_proj, self.kv_heads),
                (self.v_proj, self.kv_heads),
            )
        )
        q, k = (self.angles.turn(q, positions), self.angles.turn(k, positions))
        if cache is None:
            attended = grouped_attention(q, k, v, causal=True)
        else:
            group = self.heads // self.kv_heads
            b, n, t, d = k.shape
            k, v = (
                a.reshape(b, n, 1, t, d).expand(b, n, group, t, d).reshape(b, n * group, t, d) for a in (k, v)
            )
            attended = cache.attend(self.layer, q, k, v)
        return self.out_proj(merge_heads(attended))

"""LlamaAttention.forward takes the positions of the first sequence for all."""


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
        positions = positions[:1]
        q, k = (self.angles.turn(q, positions), self.angles.turn(k, positions))
        if cache is None:
            attended = grouped_attention(q, k, v, causal=True)
        else:
            attended = cache.attend(self.layer, q, k, v)
        return self.out_proj(merge_heads(attended))

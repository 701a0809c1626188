"""LlamaAttention.forward turns keys by their angle twice."""


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
        q, k = (self.angles.turn(q, positions), self.angles.turn(self.angles.turn(k, positions), positions))
        if cache is None:
            attended = grouped_attention(q, k, v, causal=True)
        else:
            attended = cache.attend(self.layer, q, k, v)
        return self.out_proj(merge_heads(attended))

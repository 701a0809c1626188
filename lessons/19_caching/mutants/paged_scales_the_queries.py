"""PagedAttention.forward scales the queries where they lie."""


class PagedAttention:
    def forward(self, q, keys, values, table, starts, dropped, *scales):
        out = np.empty((len(q), q.shape[2], q.shape[1], q.shape[3]), q.dtype).transpose(0, 2, 1, 3)
        group = q.shape[1] // max(keys.shape[0], 1)
        for b in range(len(q)):
            k, v, position = self.held(b, starts[b] + q.shape[2], keys, values, table, dropped, *scales)
            seen = self.visible_keys(starts[b] + np.arange(q.shape[2]), position)
            k, v = (np.repeat(a, group, 0)[None].astype(q.dtype) for a in (k, v))
            q[b] *= self.scale
            p = attention_weights(q[b : b + 1], k, 1.0, mask=seen)
            np.matmul(p, v, out=out[b : b + 1])
        return out

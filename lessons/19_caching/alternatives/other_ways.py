"""Answers by other means: masks and whole pages, running sums, searches, one number for two decisions."""


class Paged:
    def place(self, position, dropped, page):
        front = page * ((self.sinks - 1) // page + 1)
        place = np.array(position) - dropped
        place[position < front] = position[position < front]
        return place


class CacheWrite:
    def forward(self, keys, values, k, v, table, starts, dropped, *scales):
        page, t = keys.shape[3], k.shape[2]
        parts = [k, v]
        exponents = []
        if scales:
            (codes_k, of_k), (codes_v, of_v) = to_codes(k), to_codes(v)
            parts, exponents = [codes_k, codes_v], [of_k, of_v]
        for b, start in enumerate(starts):
            i = 0
            while i < t:  # page by page
                place = int(self.place(np.array([start + i]), dropped[b], page)[0])
                number, column = table[b, place // page], place % page
                count = min(page - column, t - i)
                into = slice(column, column + count)
                keys[:, number, :, into] = parts[0][b, :, i : i + count].swapaxes(1, 2)
                values[:, number, into] = parts[1][b, :, i : i + count]
                for scale, exponent in zip(scales, exponents):
                    scale[:, number, into] = exponent[b, :, i : i + count]
                i += count
        return keys


class PagedAttention:
    def held(self, b, length, keys, values, table, dropped, *scales):
        heads, _, d, page = keys.shape
        row = table[b]
        if scales:
            k = from_codes(keys[:, row].swapaxes(2, 3), scales[0][:, row]).reshape(heads, -1, d)
            v = from_codes(values[:, row], scales[1][:, row]).reshape(heads, -1, d)
        else:
            k, v = keys[:, row].swapaxes(2, 3).reshape(heads, -1, d), values[:, row].reshape(heads, -1, d)
        kept = -(-self.sinks // page) * page
        first = np.arange(min(kept, length))
        rest = np.arange(kept + dropped[b], max(length, kept + dropped[b]))
        position = np.concatenate([first, rest]).astype(np.int64)
        return k[:, : len(position)], v[:, : len(position)], position

    def visible_keys(self, queries, keys):
        least = queries - self.window + 1 if self.window else np.zeros_like(queries)
        past = keys[None, :] <= queries[:, None]
        return past & ((keys[None, :] >= least[:, None]) | (keys < self.sinks)[None, :])

    def forward(self, q, keys, values, table, starts, dropped, *scales):
        batch, heads, t, d = q.shape
        shared = keys.shape[0]
        results = []
        for b in range(batch):
            k, v, position = self.held(b, starts[b] + t, keys, values, table, dropped, *scales)
            k, v = k.astype(q.dtype), v.astype(q.dtype)
            seen = self.visible_keys(np.arange(t) + starts[b], position)
            grouped = q[b].reshape(shared, heads // shared * t, d)
            rows = np.concatenate([seen] * (heads // shared))
            p = attention_weights(grouped[None], k[None], self.scale, mask=rows)
            results.append((p[0] @ v).reshape(heads, t, d))
        return np.array(results, q.dtype).reshape(q.shape)


class KVCache:
    def reserve(self, t):
        gone = self._to_drop()
        held = int((self.lengths - self.dropped - gone).max())
        room = self.slots * self.page if self.window else self.capacity
        if room - held < t:
            raise CacheError(f"no room for {t} positions beside {held}")
        self.pool.require(self._pages_needed(gone, t))
        for b in range(self.batch):
            if gone[b]:
                self._drop(b, int(gone[b]))
        for b in range(self.batch):
            row, first = self._rows[b], int(self.lengths[b] - self.dropped[b])
            there, wanted = len(row), self.pool.pages_for(first + t)
            row += [self.pool.take() for _ in range(wanted - there)]
            written = slice(first // self.page, min(there, wanted))
            row[written] = [self.pool.own(number) for number in row[written]]
            self.table[b, : len(row)] = np.array(row, np.int64)

    def truncate(self, n):
        n = np.asarray(n)
        if n.ndim > 1 or (n.ndim == 1 and len(n) != self.batch):
            raise CacheError(f"{n.shape} is neither a length nor one for each sequence")
        wanted = np.zeros(self.batch, np.int64) + n
        bad = (wanted < 0) | (wanted > self.lengths)
        if self.window is not None:
            bad |= (self.dropped > 0) & (wanted + 1 - self.window < self.kept + self.dropped)
        if bad.any():
            raise CacheError(f"cannot go back to {wanted} of {self.lengths}")
        for row, length in zip(self._rows, wanted - self.dropped):
            keep = -(-int(length) // self.page)
            gone, row[keep:] = row[keep:], []
            self.pool.release(gone)
        self.lengths[:] = wanted
        self._ahead = [0 for _ in self._ahead]


class LlamaAttention:
    def forward(self, x, positions, cache=None):
        batch, t, _ = x.shape

        def heads_of(projected, heads):
            return projected.reshape(batch, t, heads, self.head_dim).permute(0, 2, 1, 3)

        k, v = heads_of(self.k_proj(x), self.kv_heads), heads_of(self.v_proj(x), self.kv_heads)
        q = heads_of(self.q_proj(x), self.heads)
        q, k = (rotary(part, self.angles.cos, self.angles.sin, positions) for part in (q, k))
        if cache is None:
            out = grouped_attention(q, k, v, causal=True)
        else:
            out = cache.attend(self.layer, q, k, v, None, True)
        return self.out_proj(out.permute(0, 2, 1, 3).reshape(batch, t, self.heads * self.head_dim))


def nucleus(p, top_p):
    order = np.argsort(p)[::-1]
    before = np.concatenate([[0.0], np.cumsum(p[order])[:-1]])  # what is there without each
    return order[before < top_p]


def pick(p, u):
    possible = np.flatnonzero(p)
    ends = np.cumsum(p)[possible]
    behind = int((ends <= u * ends[-1]).sum())
    return int(possible[min(behind, len(possible) - 1)])


class Run:
    def plain(self):
        logits = self._prefill()
        last = {b: 0 for b in range(len(self.prompts))}
        while any(self.going):
            going = [b for b in last if self.going[b]]
            for b in going:
                last[b] = self.sampling.draw(logits[b], self.rngs[b])
            for b in going:
                self._take(b, last[b], logits[b])
            if any(self.going) and self.decoder.room >= 1:
                logits = self.decoder.feed(np.array([[token] for token in last.values()], np.int64))
            else:
                break


def accept(proposed, drafts, logits, sampling, rng):
    for i, token in enumerate(proposed):
        p = sampling.probabilities(logits[i])
        if sampling.greedy:
            if not p[token]:
                return i, int(p.argmax())
            continue
        stays = min(1.0, p[token] / drafts[i][token])
        u = rng.random()
        if u < stays:
            continue
        over = np.clip(p - drafts[i], 0, None)
        return i, pick(over, (u - stays) / (1 - stays))  # below 1, and even between 0 and 1 again
    behind = logits[len(proposed)]
    return len(proposed), pick(sampling.probabilities(behind), 0.0 if sampling.greedy else rng.random())

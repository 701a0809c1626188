"""Answers in plain steps: one position, one page, one token after the other."""


class Paged:
    def place(self, position, dropped, page):
        pages = (self.sinks + page - 1) // page
        moved = position >= pages * page
        return position - moved * dropped


class CacheWrite:
    def forward(self, keys, values, k, v, table, starts, dropped, *scales):
        page = keys.shape[3]
        batch, heads, t, _ = k.shape
        for b in range(batch):
            for i in range(t):
                place = int(self.place(np.array(starts[b] + i), dropped[b], page))
                number, column = table[b, place // page], place % page
                for head in range(heads):
                    key, value = k[b, head, i], v[b, head, i]
                    if scales:
                        key, exponent = to_codes(key)
                        scales[0][head, number, column] = exponent
                        value, exponent = to_codes(value)
                        scales[1][head, number, column] = exponent
                    keys[head, number, :, column] = key
                    values[head, number, column] = value
        return keys


class PagedAttention:
    def held(self, b, length, keys, values, table, dropped, *scales):
        page = keys.shape[3]
        kept = -(-self.sinks // page) * page
        ks, vs, positions = [], [], []
        for position in range(length):
            if kept <= position < kept + dropped[b]:
                continue
            place = int(self.place(np.array(position), dropped[b], page))
            number, column = table[b, place // page], place % page
            key, value = keys[:, number, :, column], values[:, number, column]
            if scales:
                key = from_codes(key, scales[0][:, number, column])
                value = from_codes(value, scales[1][:, number, column])
            ks.append(key)
            vs.append(value)
            positions.append(position)
        if not positions:
            nothing = np.zeros((keys.shape[0], 0, keys.shape[2]), np.float32 if scales else keys.dtype)
            return nothing, nothing, np.zeros(0, np.int64)
        return np.stack(ks, 1), np.stack(vs, 1), np.array(positions)

    def visible_keys(self, queries, keys):
        seen = np.zeros((len(queries), len(keys)), bool)
        for i, query in enumerate(queries):
            for j, key in enumerate(keys):
                near = not self.window or key > query - self.window
                seen[i, j] = key <= query and (near or key < self.sinks)
        return seen

    def forward(self, q, keys, values, table, starts, dropped, *scales):
        batch, heads, t, _ = q.shape
        out = np.zeros_like(q)
        for b in range(batch):
            if not t:
                continue
            k, v, position = self.held(b, int(starts[b]) + t, keys, values, table, dropped, *scales)
            seen = self.visible_keys(np.arange(starts[b], starts[b] + t), position)
            for head in range(heads):
                shared = head * len(k) // heads
                for i in range(t):
                    there = np.flatnonzero(seen[i])
                    scores = k[shared, there].astype(q.dtype) @ q[b, head, i] * self.scale
                    weights = np.exp(scores - scores.max())
                    out[b, head, i] = weights / weights.sum() @ v[shared, there].astype(q.dtype)
        return out


class KVCache:
    def reserve(self, t):
        gone = self._to_drop()
        for b in range(self.batch):
            end = int(self.lengths[b] - self.dropped[b] - gone[b]) + t
            most = self.capacity if self.window is None else self.slots * self.page
            if end > most:
                raise CacheError(f"{end} positions do not fit into {most}")
        self.pool.require(self._pages_needed(gone, t))
        for b in range(self.batch):  # what all drop is free before anybody takes
            if gone[b] > 0:
                self._drop(b, gone[b])
        for b, row in enumerate(self._rows):
            begin = int(self.lengths[b] - self.dropped[b])
            for place in range(begin, begin + t):
                slot = place // self.page
                if slot == len(row):
                    row.append(self.pool.take())
                else:
                    row[slot] = self.pool.own(row[slot])
            self.table[b, : len(row)] = row

    def truncate(self, n):
        lengths = [n] * self.batch if np.ndim(n) == 0 else list(n)
        if len(lengths) != self.batch or np.ndim(n) > 1:
            raise CacheError(f"{len(lengths)} lengths for {self.batch} sequences")
        for b, length in enumerate(lengths):
            if not 0 <= length <= self.lengths[b]:
                raise CacheError(f"sequence {b} has {self.lengths[b]} positions, not {length}")
            if self.dropped[b] and length - self.window + 1 < self.kept + self.dropped[b]:
                raise CacheError(f"sequence {b} has dropped what position {length} sees")
        for b, length in enumerate(lengths):
            row = self._rows[b]
            while row and (len(row) - 1) * self.page >= length - self.dropped[b]:
                self.pool.release([row.pop()])
        self.lengths = np.array(lengths, np.int64)
        for layer in range(self.pool.layers):
            self._ahead[layer] = 0


class LlamaAttention:
    def forward(self, x, positions, cache=None):
        q = self.angles.turn(split_heads(self.q_proj(x), self.heads), positions)
        k = self.angles.turn(split_heads(self.k_proj(x), self.kv_heads), positions)
        v = split_heads(self.v_proj(x), self.kv_heads)
        if cache is not None:
            return self.out_proj(merge_heads(cache.attend(self.layer, q, k, v)))
        return self.out_proj(merge_heads(grouped_attention(q, k, v, None, True)))


def nucleus(p, top_p):
    order = sorted(range(len(p)), key=lambda token: -p[token])
    chosen, total = [], 0.0
    for token in order:
        chosen.append(token)
        total += p[token]
        if total >= top_p:
            break
    return np.array(chosen)


def pick(p, u):
    place, end, last = u * float(p.sum()), 0.0, 0
    for token, part in enumerate(p.tolist()):
        if part > 0:
            end, last = end + part, token
            if place < end:
                return token
    return last


class Run:
    def plain(self):
        logits = self._prefill()
        tokens = [0] * len(self.prompts)
        while True:
            for b in range(len(self.prompts)):
                if not self.going[b]:
                    continue
                tokens[b] = self.sampling.draw(logits[b], self.rngs[b])
                self._take(b, tokens[b], logits[b])
            if not any(self.going):
                return
            if self.decoder.room == 0:
                return
            logits = self.decoder.feed([[token] for token in tokens])


def accept(proposed, drafts, logits, sampling, rng):
    count = 0
    if sampling.greedy:
        while count < len(proposed) and proposed[count] == int(logits[count].argmax()):
            count += 1
        return count, int(logits[count].argmax())
    while count < len(proposed):
        token = proposed[count]
        p, q = sampling.probabilities(logits[count]), drafts[count]
        if p[token] < q[token] and rng.random() > p[token] / q[token]:
            rest = (p - q) * (p > q)
            return count, int(rng.choice(len(p), p=rest / rest.sum()))
        count += 1
    return count, int(rng.choice(logits.shape[1], p=sampling.probabilities(logits[count])))

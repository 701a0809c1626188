"""Run.plain feeds the token before the one that it drew."""


class Run:
    def plain(self):
        logits = self._prefill()
        last, before = [0] * len(self.prompts), [prompt[-1] for prompt in self.prompts]
        while any(self.going):
            for b, going in enumerate(self.going):
                if going:
                    last[b] = self.sampling.draw(logits[b], self.rngs[b])
                    self._take(b, last[b], logits[b])
            if not any(self.going) or self.decoder.room < 1:
                break
            logits = self.decoder.feed(np.array(before)[:, None])
            before = list(last)

"""Run.plain feeds the last token as well, which nobody reads."""


class Run:
    def plain(self):
        logits = self._prefill()
        last = [0] * len(self.prompts)
        while any(self.going):
            for b, going in enumerate(self.going):
                if going:
                    last[b] = self.sampling.draw(logits[b], self.rngs[b])
                    self._take(b, last[b], logits[b])
            if self.decoder.room < 1:
                break
            logits = self.decoder.feed(np.array(last)[:, None])

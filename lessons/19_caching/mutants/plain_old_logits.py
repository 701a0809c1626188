"""Run.plain draws all tokens from the logits of the prompt."""


class Run:
    def plain(self):
        logits = self._prefill()
        last = [0] * len(self.prompts)
        while any(self.going):
            for b, going in enumerate(self.going):
                if going:
                    last[b] = self.sampling.draw(logits[b], self.rngs[b])
                    self._take(b, last[b], logits[b])
            if not any(self.going) or self.decoder.room < 1:
                break
            self.decoder.feed(np.array(last)[:, None])

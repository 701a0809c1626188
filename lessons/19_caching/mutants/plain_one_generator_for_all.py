"""Run.plain draws for all sequences from the first one's random numbers."""


class Run:
    def plain(self):
        logits = self._prefill()
        last = [0] * len(self.prompts)
        while any(self.going):
            for b, going in enumerate(self.going):
                if going:
                    last[b] = self.sampling.draw(logits[b], self.rngs[0])
                    self._take(b, last[b], logits[b])
            if not any(self.going) or self.decoder.room < 1:
                break
            logits = self.decoder.feed(np.array(last)[:, None])

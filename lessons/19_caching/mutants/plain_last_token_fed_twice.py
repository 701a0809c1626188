"""Run.plain feeds the last token of the prompt again, which the prefill has fed."""


class Run:
    def plain(self):
        logits = self._prefill()
        last = [prompt[-1] for prompt in self.prompts]
        logits = self.decoder.feed(np.array(last)[:, None])
        while any(self.going):
            for b, going in enumerate(self.going):
                if going:
                    last[b] = self.sampling.draw(logits[b], self.rngs[b])
                    self._take(b, last[b], logits[b])
            if not any(self.going) or self.decoder.room < 1:
                break
            logits = self.decoder.feed(np.array(last)[:, None])

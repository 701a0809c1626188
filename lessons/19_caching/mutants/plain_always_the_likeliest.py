"""Run.plain takes the likeliest token, whatever is asked for."""


class Run:
    def plain(self):
        logits = self._prefill()
        last = [0] * len(self.prompts)
        while any(self.going):
            for b, going in enumerate(self.going):
                if going:
                    last[b] = int(logits[b].argmax())
                    self._take(b, last[b], logits[b])
            if not any(self.going) or self.decoder.room < 1:
                break
            logits = self.decoder.feed(np.array(last)[:, None])

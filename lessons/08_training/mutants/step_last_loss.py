"""Trainer.step returns the loss of the last batch."""


class Trainer:
    def step(self, batches):
        if self.schedule is not None:
            self.schedule.at(self.progress.step)
        counts = [count_of(batch) for batch in batches]
        self.optimizer.zero_grad()
        for batch, count in zip(batches, counts, strict=True):
            last = self._backward(batch, count / sum(counts))
        if self.clip is not None:
            self._clip()
        self.optimizer.step()
        return last

"""Trainer.step sets the schedule after the optimizer has stepped."""


class Trainer:
    def step(self, batches):
        counts = [count_of(batch) for batch in batches]
        self.optimizer.zero_grad()
        mean = 0.0
        for batch, count in zip(batches, counts, strict=True):
            share = count / sum(counts)
            mean += share * self._backward(batch, share)
        if self.clip is not None:
            self._clip()
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.at(self.progress.step)
        return mean

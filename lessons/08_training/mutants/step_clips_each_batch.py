"""Trainer.step clips after each batch instead of before the step."""


class Trainer:
    def step(self, batches):
        if self.schedule is not None:
            self.schedule.at(self.progress.step)
        counts = [count_of(batch) for batch in batches]
        self.optimizer.zero_grad()
        mean = 0.0
        for batch, count in zip(batches, counts, strict=True):
            if self.clip is not None and mean:
                self._clip()
            share = count / sum(counts)
            mean += share * self._backward(batch, share)
        self.optimizer.step()
        return mean

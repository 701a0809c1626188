"""Trainer.step adds up the gradients of all batches without weighing them."""


class Trainer:
    def step(self, batches):
        if self.schedule is not None:
            self.schedule.at(self.progress.step)
        counts = [count_of(batch) for batch in batches]
        self.optimizer.zero_grad()
        mean = 0.0
        for batch, count in zip(batches, counts, strict=True):
            mean += count / sum(counts) * self._backward(batch, 1.0)
        if self.clip is not None:
            self._clip()
        self.optimizer.step()
        return mean

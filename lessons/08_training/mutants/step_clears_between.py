"""Trainer.step forgets the gradients between the batches of one step."""


class Trainer:
    def step(self, batches):
        if self.schedule is not None:
            self.schedule.at(self.progress.step)
        counts = [count_of(batch) for batch in batches]
        mean = 0.0
        for batch, count in zip(batches, counts, strict=True):
            self.optimizer.zero_grad()
            share = count / sum(counts)
            mean += share * self._backward(batch, share)
        if self.clip is not None:
            self._clip()
        self.optimizer.step()
        return mean

"""Trainer.step gives each batch the same share, large or small."""


class Trainer:
    def step(self, batches):
        if self.schedule is not None:
            self.schedule.at(self.progress.step)
        for batch in batches:
            count_of(batch)
        self.optimizer.zero_grad()
        share = 1 / len(batches)
        mean = sum(share * self._backward(batch, share) for batch in batches)
        if self.clip is not None:
            self._clip()
        self.optimizer.step()
        return mean

"""Accuracy.update weighs a batch by its samples, not by its targets that count."""


class Accuracy:
    def update(self, output, target, loss, count):
        hits = equal(output.detach().argmax(-1), target).data
        counted = target.data != self.ignore_index
        number = int(counted.sum())
        if number:
            self.mean.add(float((hits & counted).sum()) / number, count)

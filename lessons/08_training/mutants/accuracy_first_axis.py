"""Accuracy.update looks for the largest output along axis 1."""


class Accuracy:
    def update(self, output, target, loss, count):
        hits = output.data.argmax(min(1, output.ndim - 2)) == target.data
        counted = target.data != self.ignore_index
        number = int(counted.sum())
        if number:
            self.mean.add(float((hits & counted).sum()) / number, number)

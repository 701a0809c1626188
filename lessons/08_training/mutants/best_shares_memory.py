"""Trainer.keep_if_best keeps the arrays of the model itself, which go on changing."""


class Trainer:
    def keep_if_best(self, figure):
        at = self.progress
        sign = 1 if self.higher_is_better else -1
        if math.isnan(figure) or (at.best is not None and sign * figure <= sign * at.best):
            return False
        at.best, at.best_weights = figure, tensors_of(self.model)
        return True

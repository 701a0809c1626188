"""Trainer.keep_if_best takes a best figure of 0 for none."""


class Trainer:
    def keep_if_best(self, figure):
        at = self.progress
        sign = 1 if self.higher_is_better else -1
        if math.isnan(figure) or (at.best and sign * figure <= sign * at.best):
            return False
        at.best = figure
        at.best_weights = {name: np.array(a) for name, a in tensors_of(self.model).items()}
        return True

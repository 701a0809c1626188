"""Trainer.keep_if_best takes NaN for the best when it comes first."""


class Trainer:
    def keep_if_best(self, figure):
        at = self.progress
        sign = 1 if self.higher_is_better else -1
        if at.best is not None and not sign * figure > sign * at.best:
            return False
        at.best = figure
        at.best_weights = {name: np.array(a) for name, a in tensors_of(self.model).items()}
        return True

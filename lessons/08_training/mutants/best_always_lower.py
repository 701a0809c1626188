"""Trainer.keep_if_best takes the smaller figure for the better one, of accuracies too."""


class Trainer:
    def keep_if_best(self, figure):
        at = self.progress
        if math.isnan(figure) or (at.best is not None and figure >= at.best):
            return False
        at.best = figure
        at.best_weights = {name: np.array(a) for name, a in tensors_of(self.model).items()}
        return True

"""CrossEntropy.forward adds the losses of ignored rows."""


class CrossEntropy:
    def forward(self, logits, labels):
        counted = counted_labels(labels, logits.shape[1], self.ignore_index)
        targets = labels if counted is None else np.where(counted, labels, 0)
        loss, e, total = self.row_losses(logits, targets)
        if counted is not None:
            pass
        share = logits.dtype.type(1 / _count(labels, counted) if self.reduction == "mean" else 1)
        gradient = self.gradient(e, total, targets, counted, share)
        return loss if self.reduction == "none" else loss.sum() * share, gradient

"""CrossEntropy.forward overwrites ignored labels."""


class CrossEntropy:
    def forward(self, logits, labels):
        counted = counted_labels(labels, logits.shape[1], self.ignore_index)
        targets = labels
        if counted is not None:
            targets[~counted] = 0
        loss, e, total = self.row_losses(logits, targets)
        if counted is not None:
            loss[~counted] = 0
        share = logits.dtype.type(1 / _count(labels, counted) if self.reduction == "mean" else 1)
        gradient = self.gradient(e, total, targets, counted, share)
        return loss if self.reduction == "none" else loss.sum() * share, gradient

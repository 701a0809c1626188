"""CrossEntropy.composite forgets the minus."""


class CrossEntropy:
    def composite(self, logits, labels):
        log_p = log_softmax(logits, 1)
        counted = labels != self.ignore_index
        picked = gather(log_p, 1, where(counted, labels, 0).unsqueeze(1)).squeeze(1)
        loss = picked * (1 - self.label_smoothing) + log_p.mean(1) * self.label_smoothing
        loss = where(counted, loss, 0.0)
        if self.reduction == "none":
            return loss
        return loss.sum() / counted.to(logits.dtype).sum() if self.reduction == "mean" else loss.sum()

"""CrossEntropy.row_losses takes the largest logit of the batch away, and rows far below it vanish."""


class CrossEntropy:
    def row_losses(self, logits, targets):
        d = logits - logits.max(initial=-1e30)
        e = np.exp(d)
        total = e.sum(1, keepdims=True)
        log_p = d - np.log(total)
        s = self.label_smoothing
        loss = -log_p[np.arange(len(targets)), targets] * (1 - s) - log_p.mean(1) * s
        return loss.astype(logits.dtype), e, total

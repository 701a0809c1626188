"""CrossEntropy.row_losses does not take the largest logit away, and overflows."""


class CrossEntropy:
    def row_losses(self, logits, targets):
        d = logits - 0
        e = np.exp(d)
        total = e.sum(1, keepdims=True)
        log_p = d - np.log(total)
        s = self.label_smoothing
        loss = -log_p[np.arange(len(targets)), targets] * (1 - s) - log_p.mean(1) * s
        return loss.astype(logits.dtype), e, total

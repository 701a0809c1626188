"""CrossEntropy.row_losses gives the sums without their axis."""


class CrossEntropy:
    def row_losses(self, logits, targets):
        d = logits - logits.max(1, keepdims=True)
        e = np.exp(d)
        total = e.sum(1, keepdims=True)
        log_p = d - np.log(total)
        s = self.label_smoothing
        loss = -log_p[np.arange(len(targets)), targets] * (1 - s) - log_p.mean(1) * s
        return loss.astype(logits.dtype), e, total[:, 0]

"""CrossEntropy.row_losses leaves the target its whole share beside the smoothing."""


class CrossEntropy:
    def row_losses(self, logits, targets):
        d = logits - logits.max(1, keepdims=True)
        e = np.exp(d)
        total = e.sum(1, keepdims=True)
        log_p = d - np.log(total)
        s = self.label_smoothing
        loss = -log_p[np.arange(len(targets)), targets] - log_p.mean(1) * s
        return loss.astype(logits.dtype), e, total

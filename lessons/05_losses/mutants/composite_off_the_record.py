"""CrossEntropy.composite picks in NumPy, so that no gradient comes back."""

import numpy as np


class CrossEntropy:
    def composite(self, logits, labels):
        from tinytorch.tensor import Tensor

        log_p, counted = log_softmax(logits, 1).data, labels.data != self.ignore_index
        picked = log_p[np.arange(len(log_p)), np.where(counted, labels.data, 0)]
        rows = (1 - self.label_smoothing) * picked + self.label_smoothing * log_p.mean(1)
        rows = np.where(counted, -rows, 0).astype(log_p.dtype)
        if self.reduction == "none":
            return Tensor(rows)
        return Tensor(rows.sum() / rows.dtype.type(counted.sum() if self.reduction == "mean" else 1))

"""binary_cross_entropy_with_logits computes in NumPy, so that no gradient comes back."""

import numpy as np


def binary_cross_entropy_with_logits(input, target, pos_weight=None, reduction="mean"):
    from tinytorch.tensor import Tensor

    name = "binary_cross_entropy_with_logits"
    _check(name, input, target, reduction)
    x, t = input.data, target.data
    p = np.maximum(-x, 0) + np.log1p(np.exp(-np.abs(x)))
    yes = t * p if pos_weight is None else t * p * pos_weight.data
    return reduced(name, Tensor((yes + (1 - t) * (p + x)).astype(x.dtype)), reduction)

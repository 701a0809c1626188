"""Gradient clipping by the norm of all gradients together."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.errors import GradientError
from tinytorch.ops.arithmetic import minimum
from tinytorch.ops.context import leave
from tinytorch.ops.spec import float64
from tinytorch.ops.update import GlobalNorm, ScaleAll
from tinytorch.tensor import Tensor


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients so that their norm together is at most `max_norm`; returns the norm before that.

    The norm is the root of the sum of squares over the elements of all gradients (`GlobalNorm`). All are
    multiplied in place by one factor, max_norm / (norm + 1e-6) and at most 1, so their direction stays; by a
    factor of 1 they keep every bit. Parameters without a gradient are left out; without any the norm is 0.0.

    Source: Pascanu et al., 2013, "On the difficulty of training recurrent neural networks". Raises
    GradientError, and changes nothing, where a gradient is not finite; ValueError unless max_norm > 0.

    >>> w = Tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> clip_grad_norm([w], max_norm=1.0)
    10.0
    >>> w.grad
    Tensor([0.6, 0.8])
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm is {max_norm}; it must be above 0")
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    with no_grad():
        norm = GlobalNorm()(*gradients)
        found = float(norm.item())
        if not math.isfinite(found):
            bad = [g.shape for g in gradients if not np.isfinite(leave(g, "clip_grad_norm")).all()]
            raise GradientError(
                f"clip_grad_norm: the norm of the gradients is {found}; "
                f"{len(bad)} of {len(gradients)} are not finite, the first of shape {bad[0]}"
            )
        factor = minimum(Tensor(max_norm, float64) / (norm + 1e-6), Tensor(1.0, float64))
        ScaleAll(len(gradients))(factor, *gradients)
    return found

"""One batch forward and backward, as every training step does it."""

from __future__ import annotations

import math

from tinytorch.nn.module import Module
from tinytorch.tensor import Tensor
from tinytorch.training.metrics import Batch, Loss


def forward_backward(model: Module, loss: Loss, batch: Batch, share: float = 1.0) -> tuple[Tensor, float]:
    """Run a model on a batch and add `share` times the gradient of its loss to the parameters' `.grad`.

    The last Tensor of `batch` is the target, those before it are the inputs of the model. Returns the model's
    output and the loss as a number, the whole of it and not the share. A loss that is not finite has no
    gradient worth having: it is returned, and nothing is added.

    >>> from tinytorch.nn import Linear, MSELoss
    >>> model = Linear(2, 1)
    >>> output, value = forward_backward(model, MSELoss(), (Tensor([[1.0, 2.0]]), Tensor([[3.0]])))
    >>> output.shape, model.weight.grad.shape
    ((1, 1), (1, 2))
    """
    output = model(*batch[:-1])
    result = loss(output, batch[-1])
    value = float(result.item())
    if math.isfinite(value):
        (result if share == 1 else result * share).backward()
    return output, value

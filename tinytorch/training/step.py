"""One batch forward and backward, as every training step does it, op by op or as a program."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from tinytorch.nn.module import Module
from tinytorch.optim import Optimizer
from tinytorch.tensor import Tensor
from tinytorch.training.metrics import Batch, Loss

Compile: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


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


def gradients(model: Module, loss: Loss, batch: Batch, share: float = 1.0) -> tuple[Tensor, Tensor]:
    """What `forward_backward` does, without a look at the loss on the way: a compiler can take it whole.

    Returns the output and the loss as Tensors. The gradient of a loss that is not finite is added like any.

    >>> from tinytorch.nn import Linear, MSELoss
    >>> model = Linear(2, 1)
    >>> output, loss = gradients(model, MSELoss(), (Tensor([[1.0, 2.0]]), Tensor([[3.0]])))
    >>> output.shape, loss.shape, model.weight.grad.shape
    ((1, 1), (), (1, 2))
    """
    output = model(*batch[:-1])
    result = loss(output, batch[-1])
    (result if share == 1 else result * share).backward()
    return output, result


def update(optimizer: Optimizer) -> None:
    """Change the weights by their gradients.

    >>> from tinytorch.optim import SGD
    >>> w = Tensor([1.0], requires_grad=True)
    >>> (w * 2).sum().backward()
    >>> update(SGD([w], lr=0.25))
    >>> w
    Tensor([0.5], requires_grad=True)
    """
    optimizer.step()


def compiled_forward_backward(compile: Compile) -> Callable[..., tuple[Tensor, float]]:
    """`forward_backward` by a program that `compile` makes; for a loss that is not finite see `gradients`."""
    program = compile(gradients)

    def run(model: Module, loss: Loss, batch: Batch, share: float = 1.0) -> tuple[Tensor, float]:
        output, result = program(model, loss, batch, share)
        return output, float(result.item())

    return run

"""Stochastic gradient descent, with momentum if wanted."""

from __future__ import annotations

from tinytorch.ops.update import SGDUpdate
from tinytorch.optim.optimizer import Group, Optimizer, Parameters, in_range
from tinytorch.tensor import Tensor, zeros_like


class SGD(Optimizer):
    """Against the gradient: b = momentum * b + g + weight_decay * p, then p -= lr * b.

    `nesterov` steps along g + momentum * b instead (Sutskever et al., 2013, "On the importance of
    initialization and momentum in deep learning"). Raises ValueError for options out of range, or Nesterov
    without momentum.

    >>> w = Tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Tensor([0.8], requires_grad=True)
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        )

    def check(self, group: Group) -> None:
        """Raise ValueError for an option out of range."""
        in_range("SGD: momentum", group["momentum"])
        in_range("SGD: weight_decay", group["weight_decay"])
        if group["nesterov"] and not group["momentum"]:
            raise ValueError("SGD: nesterov needs a momentum above 0")

    def start(self, parameter: Tensor, group: Group) -> dict[str, Tensor]:
        """A buffer of zeros where there is momentum."""
        return {"momentum_buffer": zeros_like(parameter)} if group["momentum"] else {}

    def update(self, group: Group, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """Change the parameters, and with momentum their buffers."""
        momentum = group["momentum"]
        op = SGDUpdate(len(parameters), momentum, group["nesterov"], group["weight_decay"])
        buffers = [self.state[p]["momentum_buffer"] for p in parameters] if momentum else ()
        op(group["lr"], *parameters, *gradients, *buffers)

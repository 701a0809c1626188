"""Adam and AdamW: steps scaled by running means of the gradient and of its square."""

from __future__ import annotations

from typing import ClassVar

from tinytorch.ops.spec import int64
from tinytorch.ops.update import AdamUpdate
from tinytorch.optim.optimizer import Group, Optimizer, Parameters, in_range
from tinytorch.tensor import Tensor, zeros, zeros_like


class Adam(Optimizer):
    """p -= lr * m / (sqrt(v) + eps), where m and v are running means of g and g^2 freed of their bias.

    `weight_decay` is added to the gradient. Source: Kingma and Ba, 2015, "Adam: a method for stochastic
    optimization". Raises ValueError for an lr below 0 or betas outside [0, 1).

    >>> w = Tensor([1.0], requires_grad=True)
    >>> optimizer = Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Tensor([0.9], requires_grad=True)
    """

    decoupled: ClassVar[bool] = False

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            parameters, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        )

    def check(self, group: Group) -> None:
        """Raise ValueError for an option out of range."""
        for number, beta in enumerate(group["betas"]):
            in_range(f"{self._name}: betas[{number}]", beta, 1.0)
        in_range(f"{self._name}: eps", group["eps"])
        in_range(f"{self._name}: weight_decay", group["weight_decay"])

    def start(self, parameter: Tensor, group: Group) -> dict[str, Tensor]:
        """The state before the first step, all zero, in memory of its own.

        "exp_avg" and "exp_avg_sq", the means of the gradient and of its square, have the shape and dtype of
        the parameter; "step" is an int64 without axes.
        """
        return {
            "exp_avg": zeros_like(parameter),
            "exp_avg_sq": zeros_like(parameter),
            "step": zeros((), dtype=int64),
        }

    def update(self, group: Group, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """Change the parameters and their state."""
        op = AdamUpdate(len(parameters), group["betas"], group["eps"], group["weight_decay"], self.decoupled)
        state = [self.state[p] for p in parameters]
        columns = ([s[name] for s in state] for name in ("exp_avg", "exp_avg_sq", "step"))
        op(group["lr"], *parameters, *gradients, *(tensor for column in columns for tensor in column))


class AdamW(Adam):
    """Adam with weight decay that is taken off the parameters directly, by lr * weight_decay of their value.

    Source: Loshchilov and Hutter, 2019, "Decoupled weight decay regularization".

    >>> w = Tensor([1.0], requires_grad=True)
    >>> optimizer = AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Tensor([0.85], requires_grad=True)
    """

    decoupled = True

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)

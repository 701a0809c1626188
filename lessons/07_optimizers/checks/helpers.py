"""What the checks of this lesson share: calls that change arrays, and an optimizer that takes notes."""

import numpy as np

from tinytorch.ops.context import state
from tinytorch.optim import SGD, Optimizer
from tinytorch.tensor import Tensor, zeros


def arrays_after(function, *arguments):
    """Call a function on copies of the arrays; returns the copies as it left them."""
    given = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    function(*given)
    return tuple(a for a in given if isinstance(a, np.ndarray))


def parameter(values, gradient=None):
    """A float64 parameter with a gradient, or without one."""
    p = Tensor(np.array(values, dtype=np.float64), requires_grad=True)
    if gradient is not None:
        p.grad = Tensor(np.array(gradient, dtype=np.float64))
    return p


def rows(rng, count, dtype=np.float64, size=7):
    """Random rows: some numbers negative, some large."""
    return [(3 * rng.normal(size=size)).astype(dtype) for _ in range(count)]


def sgd(lr=1.0, *more):
    """SGD on one parameter, and with further rates on one more in a group of its own for each."""
    groups = [{"params": [parameter([1.0])], "lr": rate} for rate in (lr, *more)]
    return SGD(groups)


class Notes(Optimizer):
    """Writes down what `step` asks of it."""

    def __init__(self, groups):
        self.started, self.updates, self.recording = [], [], []
        super().__init__(groups, {"lr": 0.1})
        self.numbers = {p: i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}

    def check(self, group):
        pass

    def start(self, parameter, group):
        self.started.append((self.numbers[parameter], self._group(group)))
        return {"seen": zeros(())}

    def update(self, group, parameters, gradients):
        right = all(p.grad is g for p, g in zip(parameters, gradients, strict=True))
        known = all("seen" in self.state[p] for p in parameters)
        self.updates.append((self._group(group), [self.numbers[p] for p in parameters], right and known))
        self.recording.append(state().grad)

    def _group(self, group):
        return next(i for i, g in enumerate(self.param_groups) if g is group)


def updates_of(optimizer):
    """One step; for each call of `update`: the group, its parameters by number, all was as it should be."""
    optimizer.updates = []
    optimizer.step()
    return optimizer.updates

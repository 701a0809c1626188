"""What the checks of this lesson share: small models whose gradients are known, and batches for them."""

import numpy as np

from tinytorch.nn import Linear, Module, MSELoss
from tinytorch.optim import SGD
from tinytorch.tensor import Tensor
from tinytorch.training import Trainer


def line(weight=(1.0, 2.0), bias=0.0):
    """The model x @ weight + bias in float64."""
    model = Linear(len(weight), 1).to("float64")
    model.weight.assign_(np.array([weight]))
    model.bias.assign_(np.array([bias]))
    return model


def batch_of(rng, count, width=2):
    """Random inputs and targets in float64."""
    return Tensor(rng.normal(size=(count, width))), Tensor(rng.normal(size=(count, 1)))


def squares(model, batch):
    """Loss and gradients of the mean squared error, worked out in NumPy: (loss, d weight, d bias)."""
    x, y = (np.asarray(t.numpy(), np.float64) for t in batch)
    off = x @ model.weight.numpy().T + model.bias.numpy() - y
    return float((off**2).mean()), 2 * (off.T @ x) / len(x), 2 * off.mean(axis=0)


def together(*batches):
    """One big batch out of several."""
    return tuple(Tensor(np.concatenate([b[k].numpy() for b in batches])) for k in range(2))


def trainer_of(model, lr=0.1, **options):
    """A Trainer with plain SGD and the mean squared error."""
    return Trainer(model, SGD(model.parameters(), lr=lr), MSELoss(), **options)


class Two(Module):
    """A model of two inputs: the first times a weight plus the second."""

    def __init__(self):
        super().__init__()
        self.weight = Tensor(np.array([3.0]), requires_grad=True)

    def forward(self, a, b):
        return a * self.weight + b


class Modes(Module):
    """Gives its input back, and notes in which mode, and whether with gradients, it was called."""

    def __init__(self):
        super().__init__()
        self.part = Linear(1, 1)
        self.seen = []

    def forward(self, x):
        from tinytorch.ops.context import state

        self.seen.append((self.training, self.part.training, state().grad))
        return x


def modes(model):
    """Of the model and all its parts, whether they are in training mode."""
    return [module.training for module in model.modules()]


class Note:
    """A metric that writes down its calls."""

    name = "note"
    higher_is_better = True

    def __init__(self):
        self.calls = ["made"]

    def reset(self):
        self.calls.append("reset")

    def update(self, output, target, loss, count):
        self.target = target
        self.calls.append((output.shape, target.shape, type(loss).__name__, round(float(loss), 6), count))

    def value(self):
        return 42.0

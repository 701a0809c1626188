"""Small nets of every shape that channels take, and what a model gives when nothing reads some of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch import Tensor, nn, no_grad
from tinytorch.compression.dependencies import Dependencies
from tinytorch.models import BERT, CNN, GPT, MLP
from tinytorch.nn import functional as F  # noqa: N812
from tinytorch.ops.shape import concat
from tinytorch.tensor import from_numpy

Array = np.ndarray[Any, Any]


def image(*shape: int, seed: int = 0) -> Tensor:
    return from_numpy(np.random.default_rng(seed).standard_normal(shape))


def ids(*shape: int, below: int = 11, seed: int = 0) -> Tensor:
    return from_numpy(np.random.default_rng(seed).integers(0, below, shape))


def ready(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model in float64 and evaluation mode, with nothing in it as it begins."""
    rng = np.random.default_rng(seed)
    model.to("float64")
    for name, tensor in model._tensors("parameter", "buffer"):
        if tensor.dtype == np.float64:
            values = rng.standard_normal(tensor.shape) / np.sqrt(
                max(1, tensor.size // max(tensor.shape[0], 1))
            )
            tensor.assign_(np.abs(values) + 0.5 if name.endswith("running_var") else values)
    return model.eval()


def run(model: nn.Module, *inputs: Tensor) -> Array:
    with no_grad():
        found: Array = model(*inputs).data
    return found


def unread(model: nn.Module, found: Dependencies, removed: Array) -> nn.Module:
    """A copy of the model in which the weights that read the removed channels are zero."""
    twin = copy.deepcopy(model)
    tensors = dict(twin._tensors("parameter", "buffer"))
    for use in found.uses:
        if use.reads:
            zero = (use.channels >= 0) & removed[use.channels]
            values = np.moveaxis(tensors[use.name].data.copy(), use.axis, 0)
            values[zero] = 0
            tensors[use.name].assign_(np.moveaxis(values, 0, use.axis))
    return twin


def zeroed(model: nn.Module, name: str, axis: int, places: Sequence[int]) -> None:
    """Zero the entries of a parameter at these places along an axis."""
    tensor = dict(model.named_parameters())[name]
    values = np.moveaxis(tensor.data.copy(), axis, 0)
    values[list(places)] = 0
    tensor.assign_(np.moveaxis(values, 0, axis))


# ---------------------------------------------------------------- nets


class ConvNormRelu(nn.Module):
    def __init__(self, given: int, made: int, groups: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, made, 3, padding=1, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(made)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).relu()


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = ConvNormRelu(2, 6), ConvNormRelu(6, 5, bias=True)
        self.pool, self.average, self.flatten = nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten()
        self.fc1, self.drop, self.fc2 = nn.Linear(5 * 4, 7), nn.Dropout(0.5), nn.Linear(7, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.average(self.second(self.pool(self.first(x))))
        return self.fc2(self.drop(F.silu(self.fc1(self.flatten(x)))))


class Residual(nn.Module):
    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.stem = ConvNormRelu(2, width)
        self.inner1, self.outer1 = ConvNormRelu(width, 4), nn.Conv2d(4, width, 1)
        self.inner2, self.outer2 = ConvNormRelu(width, 5), nn.Conv2d(5, width, 1)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.outer1(self.inner1(x))
        x = x + self.outer2(self.inner2(x)) * 0.5
        return self.head(x.mean((2, 3)))


class Concatenated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 4, 3, padding=1), ConvNormRelu(2, 3)
        self.join, self.head = nn.Conv2d(9, 5, 1), nn.Linear(14 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        both = concat([self.left(x).tanh(), x, self.right(x)], 1)
        return self.head(concat([both, self.join(both).relu()], 1).reshape(x.shape[0], -1))


class Grouped(nn.Module):
    """A convolution in groups, then one by depth that makes two channels of each, then one by points."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1)
        self.grouped = ConvNormRelu(6, 8, groups=2)
        self.depth = nn.Conv2d(8, 16, 3, padding=1, groups=8)
        self.point, self.head = nn.Conv2d(16, 4, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.point(self.depth(self.grouped(self.first(x).relu())).relu())
        return self.head(x.mean((2, 3)))


class Gated(nn.Module):
    """Squeeze and excitation: channels scaled by gates that are worked out from all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.down, self.up = nn.Conv2d(2, 6, 3), nn.Linear(6, 4), nn.Linear(4, 6)
        self.scale = nn.Parameter(np.ones((6, 1, 1)))
        self.head = nn.Linear(6 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x) * self.scale
        gates = self.up(self.down(x.mean((2, 3))).relu()).sigmoid()
        return self.head((x * gates.reshape(*gates.shape, 1, 1)).flatten(1))


class Turned(nn.Module):
    """Channels put last for a linear layer, flattened, taken apart again, and flattened the other way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix, self.head = nn.Conv2d(2, 6, 3), nn.Linear(6, 5), nn.Linear(5 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        n, c, h, w = x.shape
        x = self.mix(x.flatten(1).reshape(n, c, h, w).permute(0, 2, 3, 1).relu())
        return self.head(x.reshape(n, -1))


class Recurrent(nn.Module):
    """One weight used in turn, along both of its axes."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.again, self.leave = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x).tanh()
        for _ in range(3):
            h = (self.again(h) + self.enter(x)).tanh()
        return self.leave(h)


class Raw(nn.Module):
    """Weights of its own, by products from both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.right, self.left = nn.Parameter(np.ones((3, 6))), nn.Parameter(np.ones((2, 6)))

    def forward(self, x: Tensor) -> Tensor:
        return (self.left @ (x @ self.right).relu().mT).mT


def small(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A net by its name, and inputs of a batch of two."""
    makers: dict[str, tuple[Any, tuple[Tensor, ...]]] = {
        "mlp": (lambda: MLP((4, 8, 6, 3)), (image(2, 4),)),
        "cnn": (lambda: CNN(2, 3, 8, channels=(6, 5), hidden=7), (image(2, 2, 8, 8),)),
        "plain": (Plain, (image(2, 2, 8, 8),)),
        "residual": (Residual, (image(2, 2, 5, 5),)),
        "concatenated": (Concatenated, (image(2, 2, 4, 4),)),
        "grouped": (Grouped, (image(2, 2, 5, 5),)),
        "gated": (Gated, (image(2, 2, 4, 4),)),
        "turned": (Turned, (image(2, 2, 4, 4),)),
        "recurrent": (Recurrent, (image(2, 3),)),
        "raw": (Raw, (image(2, 3),)),
        "gpt": (lambda: GPT(11, context=8, width=12, layers=2, heads=3), (ids(2, 5),)),
        "bert": (
            lambda: BERT(11, context=8, width=12, layers=2, heads=3, hidden=10),
            (ids(2, 5), from_numpy(np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]))),
        ),
        "pooled": (lambda: BERT(11, context=8, width=8, layers=1, heads=2, pooler=True), (ids(2, 5),)),
    }
    make, inputs = makers[name]
    return ready(make()), inputs


NAMES = ("mlp", "cnn", "plain", "residual", "concatenated", "grouped", "gated", "turned", "recurrent", "raw")
NAMES += ("gpt", "bert", "pooled")

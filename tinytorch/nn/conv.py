"""Layers for images, laid out as (batch, channels, height, width): convolution, pooling, batch norm."""

from __future__ import annotations

from typing import TypeAlias

from tinytorch.errors import ShapeError
from tinytorch.nn import init
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops.batchnorm import batch_norm
from tinytorch.ops.context import grad_mode
from tinytorch.ops.conv import conv2d
from tinytorch.ops.pool import avg_pool2d, max_pool2d
from tinytorch.random import Generator
from tinytorch.tensor import Tensor, ones, zeros

Size: TypeAlias = int | tuple[int, int]


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


class Conv2d(Module):
    """Cross-correlation of x: (batch, in_channels, height, width) with a window for each output channel.

    weight: (out_channels, in_channels / groups, *kernel_size), bias: (out_channels,), both from
    U(-1, 1) / sqrt(fan-in), the size of a window over the input channels it sees.
    Raises ShapeError unless groups divides both channel counts.

    >>> Conv2d(1, 4, kernel_size=3, padding=1)(ones(2, 1, 8, 8)).shape
    (2, 4, 8, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(
                f"Conv2d: {groups} groups do not divide {in_channels} and {out_channels} channels"
            )
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, _pair(kernel_size)
        self.stride, self.padding, self.dilation = _pair(stride), _pair(padding), _pair(dilation)
        self.groups = groups
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        fan_in = shape[1] * shape[2] * shape[3]
        self.weight = init.fan_in_uniform(shape, fan_in, generator)
        self.bias = init.fan_in_uniform((out_channels,), fan_in, generator) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        for name, default in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            value = getattr(self, name)
            text += f", {name}={value}" if value != default else ""
        return text + ("" if self.bias is not None else ", bias=False")


class _Pool(Module):
    """Base of the pooling layers: a window, its stride (by default its own size) and padding."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__()
        self.kernel_size, self.padding = _pair(kernel_size), _pair(padding)
        self.stride = self.kernel_size if stride is None else _pair(stride)

    def extra_repr(self) -> str:
        return f"{self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(_Pool):
    """The largest value of each window; x: (batch, channels, height, width). Padding never wins.

    >>> MaxPool2d(2)(ones(1, 3, 8, 8)).shape
    (1, 3, 4, 4)
    """

    def forward(self, x: Tensor) -> Tensor:
        return max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(_Pool):
    """The mean of each window, padding counted as 0; x: (batch, channels, height, width).

    >>> AvgPool2d(2)(ones(1, 3, 8, 8)).shape
    (1, 3, 4, 4)
    """

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class BatchNorm2d(Module):
    """Each channel normalised to mean 0 and variance 1 over the batch, scaled by weight and shifted by bias.

    x: (batch, num_features, height, width). Training uses the batch's statistics and moves the running
    ones by `momentum`; evaluation uses those. Ioffe, Szegedy, "Batch normalization", 2015.

    >>> BatchNorm2d(3)(ones(2, 3, 4, 4)).shape
    (2, 3, 4, 4)
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight, self.bias = Parameter(ones(num_features)), Parameter(zeros(num_features))
        self.register_buffer("running_mean", zeros(num_features))
        self.register_buffer("running_var", ones(num_features))
        self.register_buffer("num_batches_tracked", zeros(dtype="int64"))

    def forward(self, x: Tensor) -> Tensor:
        out = batch_norm(
            x,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            self.training,
            self.momentum,
            self.eps,
        )
        if self.training:
            with grad_mode(False):
                self.num_batches_tracked.assign_(self.num_batches_tracked + 1)
        return out

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"

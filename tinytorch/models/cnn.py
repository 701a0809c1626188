"""CNN: two convolutions with pooling, then two linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytorch.errors import ShapeError
from tinytorch.nn.activations import ReLU
from tinytorch.nn.conv import Conv2d, MaxPool2d
from tinytorch.nn.layers import Flatten, Linear
from tinytorch.nn.module import Module
from tinytorch.random import Generator
from tinytorch.tensor import Tensor


class CNN(Module):
    """Logits from square images x: (batch, in_channels, image_size, image_size); result (batch, num_classes).

    Two convolutions to `channels`, each with ReLU and a 2x2 max-pool; linear to `hidden`, ReLU, linear to the
    classes. With channels (20, 50), hidden 500, kernel_size 5 and padding 0 it has the sizes of Caffe's
    LeNet-5. Raises ShapeError for images too small to halve twice, and for a number of channels other than 2.

    >>> CNN(image_size=8)(Generator(0).rand(2, 1, 8, 8)).shape
    (2, 10)
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        image_size: int = 28,
        channels: Sequence[int] = (16, 32),
        hidden: int = 64,
        kernel_size: int = 3,
        padding: int = 1,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if len(channels) != 2:
            raise ShapeError(f"CNN: channels are those of two convolutions, not {tuple(channels)}")
        side = image_size
        for _ in channels:
            side = (side + 2 * padding - kernel_size + 1) // 2
        if side < 1:
            raise ShapeError(f"CNN: images of {image_size}x{image_size} are too small to halve twice")
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, image_size
        self.kernel_size, self.padding = kernel_size, padding
        self.channels, self.hidden = tuple(channels), hidden
        first, second = self.channels
        self.conv1 = Conv2d(in_channels, first, kernel_size, padding=padding, generator=generator)
        self.conv2 = Conv2d(first, second, kernel_size, padding=padding, generator=generator)
        self.relu, self.pool, self.flatten = ReLU(), MaxPool2d(2), Flatten()
        self.fc1 = Linear(second * side * side, hidden, generator=generator)
        self.fc2 = Linear(hidden, num_classes, generator=generator)
        self.example_input = Generator(0).rand(1, in_channels, image_size, image_size)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, num_classes): conv1 and conv2, each with relu and pool; flatten; fc1, relu, fc2."""
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        return self.fc2(self.relu(self.fc1(self.flatten(x))))  # type: ignore[no-any-return]

    def config(self) -> dict[str, Any]:
        """The arguments that make a model of this architecture."""
        names = ("in_channels", "num_classes", "image_size", "hidden", "kernel_size", "padding")
        return {**{name: getattr(self, name) for name in names}, "channels": list(self.channels)}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.config().items())

"""CNN: two convolutions with pooling, then two linear layers."""

from __future__ import annotations

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

    Convolutions to 16 and 32 channels, 3x3 with padding 1, each with ReLU and a 2x2 max-pool; linear to 64,
    ReLU, linear to the classes. Raises ShapeError for images smaller than 4x4.

    >>> CNN(image_size=8)(Generator(0).rand(2, 1, 8, 8)).shape
    (2, 10)
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        image_size: int = 28,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if image_size < 4:
            raise ShapeError(f"CNN: images of {image_size}x{image_size} are too small to halve twice")
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, image_size
        self.conv1 = Conv2d(in_channels, 16, 3, padding=1, generator=generator)
        self.conv2 = Conv2d(16, 32, 3, padding=1, generator=generator)
        self.relu, self.pool, self.flatten = ReLU(), MaxPool2d(2), Flatten()
        side = image_size // 2 // 2
        self.fc1 = Linear(32 * side * side, 64, generator=generator)
        self.fc2 = Linear(64, num_classes, generator=generator)
        self.example_input = Generator(0).rand(1, in_channels, image_size, image_size)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, num_classes): conv1 and conv2, each with relu and pool; flatten; fc1, relu, fc2."""
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        return self.fc2(self.relu(self.fc1(self.flatten(x))))  # type: ignore[no-any-return]

    def config(self) -> dict[str, Any]:
        """The arguments that make a model of this architecture."""
        return {name: getattr(self, name) for name in ("in_channels", "num_classes", "image_size")}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.config().items())

"""Modules of PyTorch to profile, and a profile that is quickly taken."""

from __future__ import annotations

from typing import Any

import torch

from tinytorch.profiling.profile import Profile
from tinytorch.profiling.pytorch.module import profile_torch


def quick(module: Any, *args: Any, **settings: Any) -> Profile:
    """A profile with as few passes as there are intervals for."""
    return profile_torch(module, args, **{"runs": 5, "warmup": 1, "roof": False} | settings)


class Residual(torch.nn.Module):
    """A block as ResNet has it."""

    def __init__(self, channels: int, to: int, stride: int) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(channels, to, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(to)
        self.conv2 = torch.nn.Conv2d(to, to, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(to)
        self.relu = torch.nn.ReLU(inplace=True)
        self.down = torch.nn.Conv2d(channels, to, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + self.down(x))


def resnet() -> torch.nn.Module:
    return torch.nn.Sequential(
        Residual(3, 8, 2),
        Residual(8, 16, 2),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 10),
    )

"""Models nobody tuned for: odd widths, 5x5, strided and grouped convolutions, other depths."""

from __future__ import annotations

from itertools import pairwise

from tinytorch import models, nn


def odd_mlp() -> nn.Module:
    """Widths that no tile divides: 771-129-67-11."""
    return models.MLP((771, 129, 67, 11))


def deep_mlp() -> nn.Module:
    """Nine layers of some 50 units with GELU, so that calls cost more than sums."""
    layers = nn.Sequential()
    for inputs, outputs in pairwise((50, 53, 47, 53, 47, 53, 47, 53, 47, 5)):
        if len(layers):
            layers.append(nn.GELU())
        layers.append(nn.Linear(inputs, outputs))
    return layers


def wide_windows() -> nn.Module:
    """Convolutions of 5x5 over 33x33 pixels, the second with a stride, to odd numbers of channels."""
    return nn.Sequential(
        nn.Conv2d(3, 13, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(13, 29, 5, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(29 * 7 * 7, 7),
    )


def strides() -> nn.Module:
    """A strided stem of 7x7, strided 3x3 after it, batch norm and SiLU, as in networks for photographs."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(24),
        nn.SiLU(),
        nn.Conv2d(24, 40, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(40),
        nn.SiLU(),
        nn.Conv2d(40, 56, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.AvgPool2d(6),
        nn.Flatten(),
        nn.Linear(56, 10),
    )


def groups() -> nn.Module:
    """Depthwise and pointwise convolutions, and one of four groups, as in networks for phones."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False),
        nn.BatchNorm2d(32),
        nn.Conv2d(32, 60, 1),
        nn.ReLU(),
        nn.Conv2d(60, 60, 3, stride=2, padding=1, groups=4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(60 * 8 * 8, 12),
    )


def odd_gpt() -> nn.Module:
    """Three layers, heads of 18 and a vocabulary of 97."""
    return models.GPT(vocab_size=97, context=50, width=90, layers=3, heads=5)


def deep_gpt() -> nn.Module:
    """Eleven narrow layers."""
    return models.GPT(vocab_size=64, context=32, width=48, layers=11, heads=3)

"""Published models written out of `tinytorch.nn`, whose counts are known to the last unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tinytorch as tt
from tinytorch import nn
from tinytorch.tensor import Tensor


def lenet5() -> nn.Module:
    """LeNet-5 with every map of C3 connected to every map of S2; x: (batch, 1, 32, 32).

    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998.
    """
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten()),
        *(nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )


def alexnet() -> nn.Module:
    """AlexNet as torchvision has it (Krizhevsky, "One weird trick", 2014); x: (batch, 3, 224, 224).

    At that size the adaptive pooling to 6 x 6 changes nothing, so it is left out.
    """
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(256 * 6 * 6, 4096), nn.ReLU()),
        *(nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)),
    )


def vgg16() -> nn.Module:
    """VGG-16 without batch norm (Simonyan, Zisserman, 2014); x: (batch, 3, 224, 224)."""
    layers: list[nn.Module] = []
    channels = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    head = (nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000))
    return nn.Sequential(*layers, nn.Flatten(), *head)


def _conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class Bottleneck(nn.Module):
    """1x1, 3x3 (which has the stride) and 1x1 convolutions beside a short cut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv_bn(inputs, width, 1),
            nn.ReLU(),
            *_conv_bn(width, width, 3, stride),
            nn.ReLU(),
            *_conv_bn(width, 4 * width, 1),
        )
        same = stride == 1 and inputs == 4 * width
        self.short = nn.Identity() if same else nn.Sequential(*_conv_bn(inputs, 4 * width, 1, stride))
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.short(x))


class Mean2d(nn.Module):
    """The mean of each channel: (batch, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def resnet50() -> nn.Module:
    """ResNet-50, version 1.5 as torchvision has it (He et al., 2015); x: (batch, 3, 224, 224)."""
    layers: list[nn.Module] = [*_conv_bn(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for width, depth, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(depth):
            layers.append(Bottleneck(channels, width, stride if block == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, Mean2d(), nn.Linear(2048, 1000))


class ReLU6(nn.Module):
    """x between 0 and 6."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clip(0, 6)


class InvertedResidual(nn.Module):
    """A wide 1x1, a depthwise 3x3 and a narrow 1x1 convolution, added to x where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        layers = [*_conv_bn(inputs, wide, 1), ReLU6()] if expansion > 1 else []
        layers += [*_conv_bn(wide, wide, 3, stride, groups=wide), ReLU6(), *_conv_bn(wide, outputs, 1)]
        self.body = nn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


def mobilenet_v2() -> nn.Module:
    """MobileNetV2 at width 1 (Sandler et al., 2018); x: (batch, 3, 224, 224)."""
    layers: list[nn.Module] = [*_conv_bn(3, 32, 3, 2), ReLU6()]
    channels = 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2))
    for expansion, width, depth, stride in (*table, (6, 320, 1, 1)):
        for block in range(depth):
            layers.append(InvertedResidual(channels, width, stride if block == 0 else 1, expansion))
            channels = width
    layers += [*_conv_bn(channels, 1280, 1), ReLU6(), Mean2d(), nn.Dropout(0.2), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers)


class PostNormBlock(nn.Module):
    """The encoder layer of BERT: attention and MLP, each added to its input and normalised afterwards."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn, self.norm1 = nn.MultiHeadAttention(width, heads), nn.LayerNorm(width)
        self.fc1, self.act, self.fc2 = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attn(x))
        return self.norm2(x + self.fc2(self.act(self.fc1(x))))


class BERT(nn.Module):
    """BERT-base with its pooler (Devlin et al., 2018); ids: (batch, t), result (batch, width)."""

    def __init__(self, vocabulary: int = 30522, width: int = 768, layers: int = 12, heads: int = 12) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(512, width)
        self.types, self.norm = nn.Embedding(2, width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(PostNormBlock(width, heads) for _ in range(layers))
        self.pooler, self.act = nn.Linear(width, width), nn.Tanh()

    def forward(self, ids: Tensor) -> Tensor:
        kinds = tt.zeros(ids.shape, dtype="int64")
        x = self.norm(self.words(ids) + self.positions(tt.arange(ids.shape[1])) + self.types(kinds))
        for block in self.blocks:
            x = block(x)
        return self.act(self.pooler(x[:, 0]))


def gpt2_small() -> nn.Module:
    """GPT-2 small (Radford et al., 2019); ids: (batch, t) with t up to 1,024."""
    from tinytorch.models import GPT

    return GPT(vocab_size=50257, context=1024, width=768, layers=12, heads=12)


PUBLISHED: Sequence[tuple[str, Callable[[], nn.Module], tuple[int, ...], int, int]] = (
    ("LeNet-5", lenet5, (1, 1, 32, 32), 833_040, 61_706),
    ("AlexNet", alexnet, (1, 3, 224, 224), 1_428_376_960, 61_100_840),
    ("VGG-16", vgg16, (1, 3, 224, 224), 30_940_528_640, 138_357_544),
    ("ResNet-50", resnet50, (1, 3, 224, 224), 8_178_368_512, 25_557_032),
    ("MobileNetV2", mobilenet_v2, (1, 3, 224, 224), 601_548_544, 3_504_872),
    ("BERT-base", BERT, (1, 128), 22_348_431_360, 109_482_240),
    ("GPT-2 small", gpt2_small, (1, 1024), 291_648_307_200, 124_439_808),
)
"""Name, model, shape of its input, FLOPs in convention "matmul", parameters: all as published."""

"""Recipes: settings that train each model well on each data set; docs/log.md says how they were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tinytorch.errors import DataError
from tinytorch.nn.module import Module
from tinytorch.optim import AdamW, CosineWithWarmup, Optimizer


@dataclass(frozen=True)
class Recipe:
    """How to train: AdamW under a cosine schedule with warm-up, for `epochs` or, for text, `steps`.

    `config` are arguments of the model, `flip` and `shift` (pixels) what training images are changed by.
    """

    batch: int
    lr: float
    epochs: int | None = None
    steps: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    warmup: int = 100
    min_ratio: float = 0.01
    clip: float | None = None
    label_smoothing: float = 0.0
    flip: bool = False
    shift: int = 0


_TEXT = Recipe(
    batch=8,
    lr=3e-3,
    steps=3000,
    weight_decay=0.1,
    betas=(0.9, 0.95),
    min_ratio=0.1,
    clip=1.0,
)

RECIPES: Mapping[tuple[str, str], Recipe] = MappingProxyType(
    {
        ("mlp", "digits"): Recipe(
            batch=32,
            lr=3e-3,
            epochs=60,
            config={"sizes": (64, 512, 10)},
            weight_decay=0.3,
            label_smoothing=0.1,
        ),
        ("mlp", "fashion"): Recipe(batch=64, lr=2e-3, epochs=20, weight_decay=0.05, flip=True),
        ("mlp", "fashion-full"): Recipe(batch=128, lr=2e-3, epochs=20, weight_decay=0.05),
        ("mlp", "mnist"): Recipe(batch=128, lr=2e-3, epochs=15),
        ("mlp", "cifar10"): Recipe(
            batch=128, lr=1e-3, epochs=15, config={"sizes": (3072, 128, 64, 10)}, flip=True
        ),
        ("cnn", "digits"): Recipe(batch=32, lr=3e-3, epochs=30, config={"image_size": 8}),
        ("cnn", "fashion"): Recipe(batch=32, lr=2e-3, epochs=10, weight_decay=0.05, flip=True),
        ("cnn", "fashion-full"): Recipe(batch=64, lr=2e-3, epochs=15, weight_decay=0.05, flip=True),
        ("cnn", "mnist"): Recipe(batch=128, lr=3e-3, epochs=5),
        ("cnn", "cifar10"): Recipe(
            batch=128, lr=3e-3, epochs=15, config={"in_channels": 3, "image_size": 32}, flip=True
        ),
        ("gpt", "pydocs"): _TEXT,
    }
)


def recipe_for(model: str, data: str) -> Recipe:
    """The recipe for a model on a data set; raises DataError naming the sets that the model has one for.

    >>> recipe_for("mlp", "digits").config["sizes"][0]
    64
    """
    if (model, data) not in RECIPES:
        sets = [name for kind, name in RECIPES if kind == model]
        raise DataError(f"there is no recipe for {model} on {data}; {model} trains on {', '.join(sets)}")
    return RECIPES[model, data]


def optimizer_for(model: Module, recipe: Recipe) -> AdamW:
    """AdamW with weight decay on matrices and kernels only: biases and norms stay free."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=recipe.lr, betas=recipe.betas)


def schedule_for(optimizer: Optimizer, recipe: Recipe, steps: int) -> CosineWithWarmup:
    """The recipe's schedule for a run of so many steps; warm-up takes a tenth of a short one."""
    return CosineWithWarmup(optimizer, min(recipe.warmup, steps // 10), steps, recipe.min_ratio)

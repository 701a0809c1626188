"""Training data by name, for what prunes, shares and distils: images in batches, or windows of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast

from tinytorch import data
from tinytorch.compression.scores import Loss
from tinytorch.data import DataLoader, RandomWindows
from tinytorch.data.registry import ImageName
from tinytorch.data.transforms import Transform
from tinytorch.models.gpt import GPT
from tinytorch.models.registry import Model, name_of
from tinytorch.nn.losses import CrossEntropyLoss
from tinytorch.quantization.samples import Splits, splits_for
from tinytorch.training.language import next_token_loss
from tinytorch.training.metrics import Batch
from tinytorch.training.recipes import recipe_for
from tinytorch.training.stream import Stream

STEPS = 200
"""Of an epoch of text, which has no end of its own."""


class Epochs:
    """A stream without end, cut into epochs of so many batches.

    >>> loader = Epochs([("a",), ("b",), ("c",)], 2)
    >>> len(loader), len(list(loader))
    (2, 2)
    """

    def __init__(self, stream: Iterable[Batch], steps: int = STEPS) -> None:
        self.stream, self.steps = stream, steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        return islice(iter(self.stream), self.steps)


@dataclass(frozen=True)
class Material:
    """What a model is trained on: a loader, its loss, and batches to choose by and to report."""

    train: DataLoader | Epochs
    loss: Loss
    splits: Splits


def material_for(model: Model, name: str, seed: int = 0) -> Material:
    """The data set of that name, for a model that takes its samples, as the recipe for both has it.

    Raises QuantizationError where the model is for text and the set holds images, or the other way round.
    """
    splits = splits_for(model, name, seed)
    if isinstance(model, GPT):
        recipe = recipe_for("gpt", name)
        windows = RandomWindows(data.load("pydocs", "train").text, model.context, recipe.batch, seed)
        return Material(Epochs(Stream(windows)), next_token_loss, splits)
    recipe = recipe_for(name_of(model), name)
    changes: list[Transform] = [data.random_flip()] if recipe.flip else []
    changes += [data.random_crop(recipe.shift)] if recipe.shift else []
    loader = DataLoader(
        data.load(cast("ImageName", name), "train"),
        recipe.batch,
        shuffle=True,
        seed=seed,
        drop_last=True,
        transform=data.compose(*changes) if changes else None,
    )
    return Material(loader, CrossEntropyLoss(label_smoothing=recipe.label_smoothing), splits)

"""Data to quantize on: calibration from the training split, validation to choose by, test for the figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from tinytorch import data
from tinytorch.autograd import no_grad
from tinytorch.data import DataLoader, RandomWindows, Subset, TextWindows
from tinytorch.data.registry import ImageName
from tinytorch.errors import QuantizationError
from tinytorch.models.gpt import GPT
from tinytorch.models.registry import Model
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.profiling.statistics import Estimate
from tinytorch.quantization.calibrate import Batch, inputs_of
from tinytorch.quantization.score import hits, losses, paired
from tinytorch.tensor import Tensor
from tinytorch.training.metrics import evaluating

CALIBRATION, IMAGES, WINDOWS, TEST_WINDOWS = 1000, 100, 64, 512
"""Images of calibration and of a batch; windows of text in calibration and validation, and in the test."""
TEXT = "pydocs"


@dataclass(frozen=True)
class Splits:
    """Batches of inputs and targets; only the figure that is reported may come from `test`."""

    calibration: list[Batch]
    validation: list[Batch]
    test: list[Batch]


def splits_for(model: Model, name: str, seed: int = 0) -> Splits:
    """Batches of the data set of that name, for a model that takes its samples.

    Raises QuantizationError where the model is for text and the set holds images, or the other way round.
    """
    if isinstance(model, GPT) != (name == TEXT):
        kind = "text" if isinstance(model, GPT) else "images"
        raise QuantizationError(f"quantize: {type(model).__name__} takes {kind}; {name} holds other data")
    return _windows(model.context, seed) if isinstance(model, GPT) else _images(cast("ImageName", name), seed)


def _images(name: ImageName, seed: int) -> Splits:
    train = data.load(name, "train")
    rng = np.random.default_rng(seed)
    some = Subset(train, rng.permutation(len(train))[:CALIBRATION].tolist())
    validation, test = (data.load(name, split) for split in ("validation", "test"))
    return Splits(
        *(_listed(DataLoader(one, n)) for one, n in ((some, IMAGES), (validation, 500), (test, 500)))
    )


def _windows(context: int, seed: int) -> Splits:
    texts = {split: data.load("pydocs", split).text for split in ("train", "validation", "test")}
    windows = RandomWindows(texts["train"], context, 8, seed)
    pairs = (windows.batch(step) for step in range(WINDOWS // 8))
    calibration: list[Batch] = [(Tensor(x), Tensor(y)) for x, y in pairs]
    return Splits(
        calibration,
        _spread(texts["validation"], context, WINDOWS),
        _spread(texts["test"], context, TEST_WINDOWS),
    )


def _spread(text: bytes, context: int, count: int) -> list[Batch]:
    windows = TextWindows(text, context)
    some = range(0, len(windows), max(1, len(windows) // count))[:count]
    return _listed(DataLoader(Subset(windows, some), 8))


def _listed(loader: DataLoader) -> list[Batch]:
    return list(loader)


@dataclass(frozen=True)
class Tested:
    """A figure on test data before and after, and what was lost, with its 95 % interval by samples in pairs.

    `name`: "accuracy", whose loss is a difference, or "bits per byte", whose loss is a share.
    """

    name: str
    before: float
    after: float
    lost: Estimate


def tested(before: Module, after: Module, test: list[Batch]) -> Tested:
    """Both models on the same test data."""
    text = isinstance(test[0], tuple) and test[0][-1].ndim == 2
    return compared(figures_of(before, test), figures_of(after, test), text)


def compared(first: Array, second: Array, text: bool) -> Tested:
    """What `figures_of` found of two models on the same data: text, or samples with a class."""
    lost = paired(first, second)
    if not text:
        return Tested("accuracy", float(first.mean()), float(second.mean()), lost)
    assert lost.low is not None, "there are two samples or more"
    assert lost.high is not None, "there are two samples or more"
    base = float(first.mean())
    share = Estimate(-lost.value / base, -lost.high / base, -lost.low / base)
    return Tested("bits per byte", base / np.log(2), float(second.mean()) / np.log(2), share)


def figures_of(model: Module, test: list[Batch]) -> Array:
    """1 or 0 for each sample, or the mean loss of each window."""
    found = []
    with evaluating(model), no_grad():
        for batch in test:
            out, target = model(*inputs_of(batch)).data, batch[-1].data
            if target.ndim == 1:
                found.append(hits(out, target))
            else:
                found.append(losses(out, target).reshape(target.shape).mean(1))
    return np.concatenate(found)

"""Training a classifier of images, and how well it does on images it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinytorch import console, data, models
from tinytorch.autograd import no_grad
from tinytorch.data import DataLoader, ImageSet, Subset
from tinytorch.data.transforms import Transform
from tinytorch.journey.fitting import Curves, Shipped, fit, shipped_model
from tinytorch.journey.stage import Journey
from tinytorch.models.registry import Model
from tinytorch.nn.losses import CrossEntropyLoss
from tinytorch.ops.softmax import softmax
from tinytorch.random import Generator
from tinytorch.tensor import Tensor
from tinytorch.training import Accuracy
from tinytorch.training.recipes import Recipe, recipe_for

DATA: Literal["fashion"] = "fashion"
BATCH = 250  # images in a batch of evaluation
AT_RANDOM, MISTAKES = 8, 4  # images to show


@dataclass(frozen=True)
class Part:
    """A share of a sample, with its 95 % confidence interval (Wilson, 1927)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Guess:
    """What the model says of one test image: class and its probability, beside the label."""

    index: int
    label: int
    predicted: int
    probability: float


@dataclass(frozen=True)
class Classified:
    """A classifier after training. `predictions` has one digit, the class, for each of the test images."""

    data: str
    classes: tuple[str, ...]
    recipe: Recipe
    train_images: int
    validation_images: int
    test_images: int
    all_test_images: int
    steps: int
    curves: Curves
    chosen_step: int
    validation_accuracy: float
    test_accuracy: Part
    predictions: str
    at_random: tuple[Guess, ...]
    mistakes: tuple[Guess, ...]
    shipped: Shipped


def train_classifier(journey: Journey, name: str) -> Classified:
    """Train on the training split, keep the epoch that is best on validation, and test that one once."""
    scale = journey.scale
    recipe = replace(recipe_for(name, DATA), **scale.recipe.get(name, {}))
    train, validation, test = (_load(split) for split in ("train", "validation", "test"))
    chosen = Subset(train, np.arange(min(len(train), scale.train_images or len(train))))
    loader = DataLoader(
        chosen, recipe.batch, shuffle=True, seed=journey.seed, transform=_changes(recipe), prefetch=2
    )
    model = models.build(name, **recipe.config, generator=Generator(journey.seed))
    epochs = recipe.epochs or 1
    steps = epochs * len(loader)
    loss = CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    history = fit(
        f"train {name}",
        model,
        recipe,
        loader,
        steps,
        loss,
        Accuracy(),
        DataLoader(validation, BATCH),
        epochs=epochs,
    )
    model.eval()
    journey.models[name] = model
    count = min(len(test), scale.test_images or len(test))
    probabilities = predict(model, test, count, f"test {name}")
    predicted = probabilities.argmax(axis=1)
    right = predicted == test.labels[:count]
    best = history.best("accuracy", higher_is_better=True)
    rng = np.random.default_rng(journey.seed)
    return Classified(
        DATA,
        test.classes,
        recipe,
        len(chosen),
        len(validation),
        count,
        len(test),
        steps,
        Curves.of(history),
        int(best["step"]),
        best["accuracy"],
        wilson(int(right.sum()), count),
        "".join(map(str, predicted)),
        _guesses(rng, np.arange(count), AT_RANDOM, probabilities, test.labels),
        _guesses(rng, np.flatnonzero(~right), MISTAKES, probabilities, test.labels),
        _shipped(name, test, count),
    )


def predict(model: Model, images: ImageSet, count: int, description: str) -> NDArray[np.float32]:
    """Class probabilities of the first `count` images; shape (count, classes)."""
    found = []
    with no_grad(), console.progress(count, description, "images") as bar:
        for first in range(0, count, BATCH):
            x, _ = images.batch(np.arange(first, min(first + BATCH, count)))
            found.append(softmax(model(Tensor(x))).data)
            bar.update(min(first + BATCH, count))
    return np.concatenate(found)


def wilson(hits: int, trials: int) -> Part:
    """hits / trials with a 95 % confidence interval.

    >>> found = wilson(88, 100)
    >>> found.value, round(found.low, 4), round(found.high, 4)
    (0.88, 0.8019, 0.93)
    """
    from scipy.stats import binomtest

    interval = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    return Part(hits / trials, float(interval.low), float(interval.high))


def _load(split: str) -> ImageSet:
    return data.load(DATA, split)


def _changes(recipe: Recipe) -> Transform | None:
    """What the recipe has training images changed by."""
    changes = [data.random_flip()] if recipe.flip else []
    changes += [data.random_crop(recipe.shift)] if recipe.shift else []
    return data.compose(*changes) if changes else None


def _guesses(
    rng: np.random.Generator,
    among: NDArray[np.int64],
    most: int,
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> tuple[Guess, ...]:
    """Up to `most` images drawn at random among those at the given places."""
    drawn = sorted(rng.permutation(among)[:most].tolist())
    predicted = probabilities.argmax(axis=1)
    return tuple(Guess(i, int(labels[i]), int(predicted[i]), float(probabilities[i].max())) for i in drawn)


def _shipped(name: str, test: ImageSet, count: int) -> Shipped:
    model, reason = shipped_model(name)
    if model is None:
        return Shipped(reason=reason)
    predicted = predict(model, test, count, f"test {name} as shipped").argmax(axis=1)
    return Shipped(test=float((predicted == test.labels[:count]).mean()))

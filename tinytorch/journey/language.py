"""Training a language model on bytes, beside what n-grams, xz and the weights that ship reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinytorch import console, data, models
from tinytorch.data import DataLoader, RandomWindows, TextWindows
from tinytorch.journey.fitting import Curves, Shipped, fit, shipped_model
from tinytorch.journey.stage import Journey
from tinytorch.models import GPT, generate
from tinytorch.random import Generator
from tinytorch.text.ngram import NGram
from tinytorch.training import BitsPerByte, Stream, evaluate, next_token_loss, sliding_bits
from tinytorch.training.recipes import Recipe, recipe_for

Places: TypeAlias = NDArray[np.int64]

DATA: Literal["pydocs"] = "pydocs"
BATCH = 16  # windows in a batch of evaluation
PROMPT = "Return the "
TEMPERATURE = 0.8
ORDERS = (3, 5)
CALIBRATION, WARMUP = 12, 4  # steps in all, and of those how many do not count
LEAST_STEPS = 20
PIECES = 8  # of the test text, where it is not used whole


@dataclass(frozen=True)
class Baselines:
    """Bits per byte that need no neural network. The n-grams are scored on the model's own bytes."""

    ngrams: dict[str, float]
    xz: float


@dataclass(frozen=True)
class Wrote:
    """A language model after training; `test` and all baselines in bits per byte."""

    data: str
    recipe: Recipe
    config: dict[str, Any]
    train_bytes: int
    steps: int
    step_seconds: float | None  # by calibration
    curves: Curves
    chosen_step: int
    validation_bits: float
    validation_bytes: int
    validation_baselines: Baselines
    test_bits: float
    test_bytes: int
    all_test_bytes: int
    test_baselines: Baselines
    shipped: Shipped
    prompt: str
    text: str
    temperature: float


def train_writer(journey: Journey, name: str) -> Wrote:
    """Train for as many steps as fit into the time, keep what is best on validation, test that once."""
    recipe, scale = _recipe(journey, name), journey.scale
    train, validation, test = (data.load(DATA, split).text for split in ("train", "validation", "test"))
    model = _new(journey, name)
    windows = _spread(validation, model.context, scale.validation_windows)
    few = DataLoader(windows, BATCH)
    steps, step_seconds = recipe.steps, None
    if scale.text_seconds is not None:
        steps, step_seconds = _fitting_steps(journey, name, few, scale.text_seconds)
    assert steps is not None
    history = fit(
        f"train {name}",
        model,
        recipe,
        _batches(train, model, recipe, journey.seed),
        steps,
        next_token_loss,
        BitsPerByte(),
        few,
        evaluate_every=max(1, steps // scale.curve_points),
    )
    model.eval()
    journey.models[name] = model
    best = history.best("bits_per_byte", higher_is_better=False)
    scored = excerpt(test, scale.test_bytes)
    measured = data.baselines()
    places = (np.arange(len(windows))[:, None] * windows.stride + np.arange(1, model.context + 1)).ravel()
    on_validation, on_test = _ngrams(train, [(validation, places), (scored, np.arange(len(scored)))])
    return Wrote(
        DATA,
        recipe,
        model.config(),
        len(train),
        steps,
        step_seconds,
        Curves.of(history),
        int(best["step"]),
        best["bits_per_byte"],
        places.size,
        Baselines(on_validation, measured["validation"]["xz"]),
        sliding_bits(model, scored, model.context),
        len(scored),
        len(test),
        Baselines(on_test, measured["test"]["xz"]),
        _shipped(name, scored, windows),
        PROMPT,
        write(model, PROMPT, scale.new_bytes, journey.seed),
        TEMPERATURE,
    )


def excerpt(text: bytes, most: int | None) -> bytes:
    """The text, or where that is longer than `most` bytes, pieces of it from its whole length, put together.

    >>> excerpt(bytes(range(100)), 16).hex(" ", 2)
    '0001 0c0d 191a 2526 3233 3e3f 4b4c 5758'
    """
    if most is None or most >= len(text):
        return text
    piece = max(1, most // PIECES)
    return b"".join(text[i * len(text) // PIECES :][:piece] for i in range(PIECES))


def write(model: GPT, prompt: str, new_bytes: int, seed: int) -> str:
    """What the model goes on with after the prompt, byte by byte; bytes that are no text become U+FFFD."""
    ids = list(prompt.encode())
    begun, total, generator = len(ids), len(ids) + new_bytes, Generator(seed)
    with console.progress(new_bytes, "write", "bytes") as bar:
        while len(ids) < total:
            ids = generate(model, ids, min(10, total - len(ids)), TEMPERATURE, generator=generator)
            bar.update(len(ids) - begun)
    return bytes(ids[begun:]).decode("utf-8", "replace")


def _recipe(journey: Journey, name: str) -> Recipe:
    return replace(recipe_for(name, DATA), **journey.scale.recipe.get(name, {}))


def _new(journey: Journey, name: str) -> GPT:
    model = models.build(name, generator=Generator(journey.seed), **_recipe(journey, name).config)
    assert isinstance(model, GPT)
    return model


def _batches(text: bytes, model: GPT, recipe: Recipe, seed: int) -> Stream:
    """Windows at random places, without end."""
    return Stream(RandomWindows(text, model.context, recipe.batch, seed))


def _spread(text: bytes, context: int, count: int) -> TextWindows:
    """About `count` windows at even distances over the whole text."""
    return TextWindows(text, context, stride=max(context, (len(text) - context - 1) // count + 1))


def _fitting_steps(journey: Journey, name: str, validation: DataLoader, seconds: float) -> tuple[int, float]:
    """How many steps fit into the time, and the seconds of one, by trying some on a model to throw away."""
    model, recipe = _new(journey, name), _recipe(journey, name)
    text = data.load(DATA, "train").text
    batches = _batches(text, model, recipe, journey.seed)
    history = fit(
        f"calibrate {name}",
        model,
        recipe,
        batches,
        CALIBRATION,
        next_token_loss,
        BitsPerByte(),
        validation,
    )
    step = float(np.median(np.diff(history.seconds)[WARMUP:]))
    evaluation = history.validation[-1]["seconds"] - history.seconds[-1]
    left = seconds - evaluation * journey.scale.curve_points
    return max(LEAST_STEPS, int(left / step)), step


def _ngrams(train: bytes, texts: Sequence[tuple[bytes, Places]]) -> list[dict[str, float]]:
    """Bits per byte of n-grams on the bytes of each text at the given places."""
    found: list[dict[str, float]] = [{} for _ in texts]
    for order in ORDERS:
        model = NGram(train, order)
        for (text, places), bits in zip(texts, found, strict=True):
            bits[f"{order}-gram"] = float(-np.log2(model.probabilities(text)[places]).mean())
    return found


def _shipped(name: str, test: bytes, validation: TextWindows) -> Shipped:
    model, reason = shipped_model(name)
    if not isinstance(model, GPT):
        return Shipped(reason=reason)
    loader = DataLoader(validation, BATCH)
    bits = evaluate(model, loader, next_token_loss, [BitsPerByte()])["bits_per_byte"]
    return Shipped(sliding_bits(model, test, model.context), bits)

"""Stage 6, cache: what keeping keys and values saves a language model, token by token, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tinytorch import console, data
from tinytorch.autograd import no_grad
from tinytorch.caching import Decoder, generate
from tinytorch.caching.analyze import CacheAnalysis, analyze_cache
from tinytorch.caching.traced import Whole
from tinytorch.journey import page
from tinytorch.journey.language import DATA
from tinytorch.journey.stage import Journey, Stage
from tinytorch.models import GPT
from tinytorch.ops.spec import Array
from tinytorch.profiling import words
from tinytorch.profiling.report import chart
from tinytorch.tensor import from_numpy

if TYPE_CHECKING:
    from markupsafe import Markup

FORMS = ("float32", "float16", "int8")
STEP = 16
"""Without a cache a text is filled up to a multiple of so many tokens: for each length there is a program."""
PROMPT = 32
"""Tokens that the text begins with, at most."""


@dataclass(frozen=True)
class Kept:
    """A cache in one dtype: bytes a position, the largest difference of a logit, and the loss with it."""

    dtype: str
    position_bytes: int
    largest: float
    loss: float


@dataclass(frozen=True)
class Cached:
    """What the stage found. `loss`: nats a byte without a cache, on `windows` windows of test text."""

    analysis: CacheAnalysis
    kept: tuple[Kept, ...]
    loss: float
    windows: int
    prompt_tokens: int
    new_tokens: int
    cached_rate: float
    uncached_rate: float
    same_text: bool


class CacheStage(Stage[Cached]):
    """Generates with and without a cache; only models of text have one."""

    name: ClassVar[str] = "cache"
    title: ClassVar[str] = "Cache"

    def takes(self, journey: Journey, model: str) -> bool:
        """Whether the model goes on with text."""
        return isinstance(journey.models.get(model), GPT)

    def run(self, journey: Journey, model: str) -> Cached:
        """Measure one model."""
        trained = journey.models[model]
        assert isinstance(trained, GPT), "see `takes`"
        trained.eval()
        console.notice(f"cache {model}: the next token with a cache and without, at several lengths")
        contexts = [trained.context * eighths // 8 for eighths in (1, 2, 3, 4, 6, 7)]
        analysis = analyze_cache(trained, contexts, rounds=journey.scale.race_rounds, seed=journey.seed)
        text = np.frombuffer(data.load(DATA, "test").text, np.uint8)
        count = max(1, journey.scale.validation_windows // 16)
        starts = np.linspace(0, len(text) - trained.context - 1, count).astype(int)
        windows = text[starts[:, None] + np.arange(trained.context + 1)].astype(np.int64)
        with no_grad():
            wanted = trained(from_numpy(windows[:, :-1])).numpy()
        kept = tuple(_kept(trained, dtype, windows, wanted, analysis) for dtype in FORMS)
        prompt = windows[0, : min(PROMPT, trained.context // 2)]
        new = trained.context - len(prompt)
        rates, same = _rates(trained, prompt, new)
        loss = _loss(wanted, windows[:, 1:])
        return Cached(analysis, kept, loss, count, len(prompt), new, rates[0], rates[1], same)

    def figures(self, result: Cached) -> dict[str, str]:
        """How fast text comes, and what a cache gains."""
        gain = result.cached_rate / result.uncached_rate
        return {"tokens/s": f"{result.cached_rate:,.0f}", "cache": words.faster(gain)}

    def section(self, journey: Journey, results: Mapping[str, Cached]) -> Markup:
        """The stage's part of the page."""
        return page.render(
            "cache.html.jinja",
            stage=self,
            results=results,
            charts={name: _charts(result) for name, result in results.items()},
        )


def _kept(model: GPT, dtype: str, windows: Array, wanted: Array, analysis: CacheAnalysis) -> Kept:
    """Windows of text token by token through a cache, beside the logits without one."""
    decoder = Decoder(model, dtype=dtype, batch=len(windows))
    steps = [decoder.feed(windows[:, i : i + 1], every=True) for i in range(model.context)]
    found = np.concatenate(steps, 1)
    return Kept(
        dtype,
        analysis.position_bytes[dtype],
        float(np.abs(found - wanted).max()),
        _loss(found, windows[:, 1:]),
    )


def _loss(logits: Array, targets: Array) -> float:
    """Nats a token, in float64."""
    wide = logits.astype(np.float64)
    wide -= wide.max(-1, keepdims=True)
    total = np.log(np.exp(wide).sum(-1))
    chosen = np.take_along_axis(wide, targets[..., None], -1)[..., 0]
    return float((total - chosen).mean())


def _rates(model: GPT, prompt: Array, new: int) -> tuple[tuple[float, float], bool]:
    """Tokens a second of a greedy text with a cache and without, and whether the texts are the same."""
    decoder = Decoder(model)
    generate(decoder, prompt.tolist(), new, temperature=0)
    start = time.perf_counter()
    text = generate(decoder, prompt.tolist(), new, temperature=0).ids
    cached = new / (time.perf_counter() - start)
    wholes = [Whole(model, t) for t in range(STEP, model.context + 1, STEP)]
    ids = [int(i) for i in prompt]
    start = time.perf_counter()
    for n in range(len(prompt), len(prompt) + new):
        logits = wholes[(n - 1) // STEP].run(np.array([ids], np.int64))
        ids.append(int(logits[0].argmax()))
    return (cached, new / (time.perf_counter() - start)), ids[len(prompt) :] == text


def _charts(result: Cached) -> list[object]:
    """Time per token and memory, by context."""
    rows = result.analysis.rows
    contexts = [at.context for at in rows]
    without = [1e6 * at.uncached.value for at in rows if at.uncached is not None]
    return [
        chart.curves(
            "Time of the next token, µs",
            "context",
            [
                chart.Curve("without", contexts, without, "validation"),
                chart.Curve("cached", contexts, [1e6 * at.cached.value for at in rows], "train"),
            ],
        ),
        chart.curves(
            "Cache, KiB",
            "context",
            [
                chart.Curve(
                    dtype, contexts, [n * result.analysis.needs(1, dtype) / 1024 for n in contexts], tone
                )
                for dtype, tone in zip(FORMS, ("train", "validation", "train"), strict=True)
            ],
        ),
    ]

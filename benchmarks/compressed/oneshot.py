"""Half of all weights at zero without training: by Wanda and by magnitude, on the GPT and on MiniLM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.compressed.pruning import over_seeds
from benchmarks.compressed.trained import SEEDS
from benchmarks.quantized.sentences import PAIRS, embeddings, encoded, sentences
from tinytorch import console
from tinytorch.compression.prune import Scope, prune
from tinytorch.models import load_minilm
from tinytorch.models.pretrained import load_pretrained
from tinytorch.ops.spec import Array
from tinytorch.profiling.statistics import Estimate
from tinytorch.quantization.samples import splits_for, tested

SPARSITY = 0.5
BY_MAGNITUDE: tuple[Scope, ...] = ("layer", "output")
"""Both ways to share a threshold: Wanda is held against the better of them."""
TEXTS = 100
"""Sentences of calibration, of other places for each seed."""


@dataclass(frozen=True)
class Line:
    """What a model loses by either score: a mean over seeds of calibration for Wanda, and their difference
    with its 95 % interval; above 0 Wanda is better.
    """

    name: str
    figure: str
    before: float
    magnitude: dict[str, float]
    wanda: float
    better: Estimate


def gpt(seeds: Sequence[int] = SEEDS) -> Line:
    """The GPT that ships: bits per byte on test text."""
    model = load_pretrained("gpt")
    splits = splits_for(model, "pydocs")
    plain = {
        scope: tested(model, prune(model, SPARSITY, scope=scope).model, splits.test) for scope in BY_MAGNITUDE
    }
    found = []
    for seed in seeds:
        calibration = splits_for(model, "pydocs", seed).calibration
        pruned = prune(model, SPARSITY, scope="output", score="wanda", calibration=calibration)
        found.append(tested(model, pruned.model, splits.test).after)
        console.notice(f"gpt, wanda, seed {seed}: {found[-1]:.4f} bits per byte")
    losses: dict[str, float] = {scope: one.after for scope, one in plain.items()}
    before = next(iter(plain.values())).before
    best = min(losses.values())
    return Line(
        "gpt", "bits per byte", before, losses, float(np.mean(found)), over_seeds([best - f for f in found])
    )


def minilm(seeds: Sequence[int] = SEEDS) -> Line:
    """all-MiniLM-L6-v2: what is lost of the rank correlation of similarities of sentences."""
    model = load_minilm()
    test = encoded(sentences("test", 2 * PAIRS))
    wanted = embeddings(model, test)
    plain = {
        s: lost_of(wanted, embeddings(prune(model, SPARSITY, scope=s).model, test)) for s in BY_MAGNITUDE
    }
    found = []
    for seed in seeds:
        texts = sentences("train", TEXTS * (seed + 1))[-TEXTS:]
        calibration: list[Any] = [(ids, mask, ids) for ids, mask in encoded(texts)]
        pruned = prune(model, SPARSITY, scope="output", score="wanda", calibration=calibration)
        found.append(lost_of(wanted, embeddings(pruned.model, test)))
        console.notice(f"minilm, wanda, seed {seed}: {found[-1]:.4f} lost")
    best = min(plain.values())
    losses: dict[str, float] = dict(plain)
    differences = over_seeds([best - f for f in found])
    return Line("minilm", "rank correlation lost", 0.0, losses, float(np.mean(found)), differences)


def lost_of(before: Array, after: Array) -> float:
    """1 - the rank correlation of similarities of pairs."""
    first, second = np.arange(PAIRS) * 2, np.arange(PAIRS) * 2 + 1
    shuffled = np.where(np.arange(PAIRS) % 2, second, np.random.default_rng(0).permutation(second))
    similar = [(rows[first] * rows[shuffled]).sum(1) for rows in (before, after)]
    return 1 - float(spearmanr(*similar).statistic)

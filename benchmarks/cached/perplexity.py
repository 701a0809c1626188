"""Perplexity of SmolLM2 beside llama.cpp: what the speed of either costs in probability, token by token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.cached.llama import LlamaCpp
from benchmarks.cached.smollm2 import fast_file
from tinytorch import data
from tinytorch.caching import Decoder
from tinytorch.caching.language import load_language
from tinytorch.models.fetch import SMOLLM2, locate
from tinytorch.profiling.statistics import Estimate
from tinytorch.quantization.score import losses, paired

TOKENS = 1024


@dataclass(frozen=True)
class Perplexity:
    """Of a way, and how many nats a token it lies above ours."""

    name: str
    value: float
    above: Estimate


def measure() -> list[Perplexity]:
    """Ours, llama.cpp on the same file, and on the same weights in Q4_0; the same tokens of test text."""
    language = load_language(locate(SMOLLM2))
    text = data.load("pydocs", "test").text[: 8 * TOKENS]
    ids = np.asarray(language.tokenizer.encode(text))[: TOKENS + 1].tolist()
    logits = Decoder(language.model, TOKENS).feed([ids[:-1]], every=True)[0]
    nats = {"ours": losses(logits, np.array(ids[1:], np.int64))}
    for name, path in (("llama.cpp, Q4_1", locate(SMOLLM2)), ("llama.cpp, Q4_0", fast_file())):
        nats[name] = -LlamaCpp(path).forced(ids)[0]
    ours = nats["ours"]
    return [Perplexity(name, float(np.exp(each.mean())), paired(each, ours)) for name, each in nats.items()]

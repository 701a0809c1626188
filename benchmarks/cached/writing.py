"""A GPT of four layers, 256 tokens behind a context of 512: with a cache, without, and in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.interleave import Ratio, interleave, ratio_of
from tinytorch.caching import Decoder
from tinytorch.caching.analyze import CacheAnalysis, analyze_cache
from tinytorch.caching.traced import Whole
from tinytorch.models import GPT
from tinytorch.random import Generator

CONTEXT, NEW = 512, 256
STEP = 32
"""Without a cache there is a program for each so many tokens of length."""


@dataclass(frozen=True)
class Writing:
    """Seconds of all new tokens, as ratios to ours with a cache."""

    without: Ratio
    torch: Ratio
    analysis: CacheAnalysis
    same: tuple[bool, bool]


def measure(rounds: int) -> Writing:
    """All ways write the same greedy text, in turns."""
    import torch

    from benchmarks.cached.torch_gpt import TorchGPT

    torch.set_num_threads(1)
    model = GPT(context=CONTEXT + NEW, generator=Generator(0))
    model.eval()
    prompt = np.random.default_rng(0).integers(0, 256, (1, CONTEXT))
    decoder, twin = Decoder(model), TorchGPT(model)
    wholes = {t: Whole(model, t) for t in range(CONTEXT, CONTEXT + NEW + 1, STEP)}
    texts: dict[str, list[int]] = {}

    def cached() -> None:
        logits = decoder.start(prompt.tolist())
        texts["cached"] = [int(logits[0].argmax())]
        while len(texts["cached"]) < NEW:
            logits = decoder.feed([texts["cached"][-1:]])
            texts["cached"].append(int(logits[0].argmax()))

    def without() -> None:
        ids = prompt[0].tolist()
        for n in range(CONTEXT, CONTEXT + NEW):
            ids.append(int(wholes[-(-n // STEP) * STEP].run(np.array([ids], np.int64))[0].argmax()))
        texts["without"] = ids[CONTEXT:]

    def pytorch() -> None:
        twin.length = 0
        with torch.inference_mode():
            logits = twin.feed(torch.tensor(prompt))
            found = [int(logits.argmax())]
            while len(found) < NEW:
                found.append(int(twin.feed(torch.tensor([found[-1:]])).argmax()))
        texts["torch"] = found

    times = interleave({"cached": cached, "torch": pytorch}, rounds, warmup=2)
    slow = interleave({"cached": cached, "without": without}, max(3, rounds // 12), warmup=1)
    analysis = analyze_cache(model, (32, 64, 128, 256, 512, 767), rounds=max(5, rounds // 3))
    same = texts["without"] == texts["cached"], texts["torch"] == texts["cached"]
    return Writing(
        ratio_of(slow["cached"], slow["without"]), ratio_of(times["cached"], times["torch"]), analysis, same
    )

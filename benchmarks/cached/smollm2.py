"""SmolLM2-135M beside llama.cpp: decoding, prefill, decoding behind 1,024 tokens; one thread, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import tinytorch as tt
from benchmarks.cached.llama import LlamaCpp
from benchmarks.cached.requantize import to_q4_0
from tinytorch.caching import Decoder
from tinytorch.caching.language import load_language
from tinytorch.models.fetch import SMOLLM2, locate

SHORT, LONG, NEW = 8, 1024, 96
PREFILL = 512
FOLDER = Path("runs") / "cached"


@dataclass
class Rates:
    """Tokens a second, round by round, of one way."""

    name: str
    decode: list[float] = field(default_factory=list)
    prefill: list[float] = field(default_factory=list)
    long: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Beside:
    """Ours, llama.cpp on the same file, and on its fastest format, flash attention on and off."""

    ours: Rates
    q4_1: tuple[Rates, Rates]
    q4_0: tuple[Rates, Rates]

    def best(self, what: str) -> Rates:
        """The fastest of all four ways of llama.cpp in one respect, by medians."""
        return max((*self.q4_1, *self.q4_0), key=lambda rates: float(np.median(getattr(rates, what))))

    def same_file(self, what: str) -> Rates:
        """The faster of both ways on the same file."""
        return max(self.q4_1, key=lambda rates: float(np.median(getattr(rates, what))))


def measure(rounds: int, threads: int = 1) -> Beside:
    """All ways in turns, in random order, each round on another prompt."""
    tt.set_num_threads(threads)
    path, fast = locate(SMOLLM2), fast_file()
    peers = [
        (Rates(f"{name}, flash attention {'on' if flash else 'off'}"), LlamaCpp(file, threads, flash))
        for name, file in (("Q4_1", path), ("Q4_0", fast))
        for flash in (True, False)
    ]
    language = load_language(path)
    decoder, ours = Decoder(language.model, 2048, "float16"), Rates("ours")
    rng = np.random.default_rng(0)
    ways: list[Callable[[list[int]], None]] = [lambda ids: _ours(decoder, ours, ids)]
    ways += [lambda ids, rates=rates, peer=peer: _theirs(peer, rates, ids) for rates, peer in peers]
    for number in range(rounds + 1):
        ids = rng.integers(100, 40000, LONG).tolist()
        for i in rng.permutation(len(ways)):
            ways[i](ids)
        if number == 0:  # all is warm now
            for rates in (ours, *(r for r, _ in peers)):
                rates.decode.clear(), rates.prefill.clear(), rates.long.clear()
    found = [rates for rates, _ in peers]
    tt.set_num_threads(1)
    return Beside(ours, (found[0], found[1]), (found[2], found[3]))


def fast_file() -> Path:
    """The same weights in Q4_0, made once and kept in runs/."""
    path = FOLDER / "smollm2-q4_0.gguf"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        to_q4_0(locate(SMOLLM2), path)
    return path


def _ours(decoder: Decoder, rates: Rates, ids: list[int]) -> None:
    rates.decode.append(_decode_rate(decoder, ids[:SHORT]))
    decoder.cache.reset()
    start = time.perf_counter()
    decoder.feed([ids[:PREFILL]])
    rates.prefill.append(PREFILL / (time.perf_counter() - start))
    rates.long.append(_decode_rate(decoder, ids))


def _decode_rate(decoder: Decoder, ids: list[int]) -> float:
    decoder.cache.reset()
    logits = decoder.feed([ids])
    start = time.perf_counter()
    for _ in range(NEW):
        logits = decoder.feed([[int(logits[0].argmax())]])
    return NEW / (time.perf_counter() - start)


def _theirs(peer: LlamaCpp, rates: Rates, ids: list[int]) -> None:
    rates.decode.append(peer.decode_rate(ids[:SHORT], NEW))
    rates.prefill.append(peer.prefill_rate(ids[:PREFILL]))
    rates.long.append(peer.decode_rate(ids, NEW))

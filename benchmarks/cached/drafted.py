"""Speculative decoding: the GPT that ships, with a draft of one narrow layer trained on the same text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tinytorch as tt
from benchmarks.interleave import Ratio, interleave, ratio_of
from tinytorch import data
from tinytorch.caching import Decoder, generate
from tinytorch.data import RandomWindows
from tinytorch.models import GPT, load_pretrained, load_weights, save_weights
from tinytorch.optim import AdamW
from tinytorch.random import Generator
from tinytorch.training import Stream, Trainer, next_token_loss

STEPS, AHEAD, PROMPTS, PROMPT = 6000, 3, 8, 32
FOLDER = Path("runs") / "cached"


@dataclass(frozen=True)
class Drafted:
    """Seconds of all texts, plain over drafted; whether all texts are the same; the share that stayed."""

    ratio: Ratio
    same: bool
    accepted: float
    parameters: int


def draft() -> GPT:
    """One layer of width 48, trained once and kept in runs/."""
    path = FOLDER / "draft.safetensors"
    if not path.exists():
        model = GPT(width=48, layers=1, heads=2, generator=Generator(1))
        batches = Stream(RandomWindows(data.load("pydocs", "train").text, model.context, 16, 1))
        step = Trainer(model, AdamW(model.parameters(), lr=4e-3), next_token_loss, compile=tt.compile)
        step.fit(batches, steps=STEPS)
        FOLDER.mkdir(parents=True, exist_ok=True)
        save_weights(model, path)
    found = load_weights(path)
    assert isinstance(found, GPT), "that is what was saved"
    return found


def measure(rounds: int) -> Drafted:
    """Greedy texts behind prompts of test text, both ways in turns."""
    model = load_pretrained("gpt")
    assert isinstance(model, GPT), "that is what ships"
    small = draft()
    text = np.frombuffer(data.load("pydocs", "test").text, np.uint8)
    starts = np.linspace(0, len(text) - PROMPT, PROMPTS).astype(int)
    prompts = [text[s : s + PROMPT].tolist() for s in starts]
    plain, drafted, quick = Decoder(model), Decoder(model), Decoder(small)
    new = model.context - PROMPT
    texts: dict[str, list[list[int]]] = {}
    rates: list[float] = []

    def alone() -> None:
        texts["plain"] = [generate(plain, p, new, temperature=0).ids for p in prompts]

    def together() -> None:
        found = [generate(drafted, p, new, temperature=0, draft=quick, ahead=AHEAD) for p in prompts]
        texts["drafted"] = [one.ids for one in found]
        rates.append(float(np.mean([one.accepted for one in found])))

    times = interleave({"drafted": together, "plain": alone}, rounds, warmup=2)
    return Drafted(
        ratio_of(times["drafted"], times["plain"]),
        texts["plain"] == texts["drafted"],
        rates[-1],
        small.num_parameters(),
    )


if __name__ == "__main__":
    tt.set_num_threads(1)
    draft()

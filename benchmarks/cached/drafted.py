"""Speculative decoding: the GPT that ships, and two drafts of the same text: an n-gram, a narrow layer."""

from __future__ import annotations

import functools
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
from tinytorch.text.ngram import NGram
from tinytorch.training import Stream, Trainer, next_token_loss

STEPS, PROMPTS, PROMPT = 6000, 8, 32
ORDER = 5
AHEAD = {"n-gram": 2, "GPT": 1}
"""What was fastest on validation text, of 1 to 5."""
FOLDER = Path("runs") / "cached"


@dataclass(frozen=True)
class Drafted:
    """Seconds of all texts, plain over drafted; whether all texts are the same; the share that stayed."""

    draft: str
    ratio: Ratio
    same: bool
    accepted: float


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


def measure(rounds: int) -> list[Drafted]:
    """Greedy texts behind prompts of test text, without a draft and with each, in turns."""
    model = load_pretrained("gpt")
    assert isinstance(model, GPT), "that is what ships"
    small, ngram = draft(), NGram(data.load("pydocs", "train").text, ORDER)
    text = np.frombuffer(data.load("pydocs", "test").text, np.uint8)
    starts = np.linspace(0, len(text) - PROMPT, PROMPTS).astype(int)
    prompts = [text[s : s + PROMPT].tolist() for s in starts]
    decoder, new = Decoder(model), model.context - PROMPT
    drafts: dict[str, NGram | Decoder] = {"n-gram": ngram, "GPT": Decoder(small)}
    texts: dict[str, list[list[int]]] = {}
    shares: dict[str, float] = {}

    def write(name: str) -> None:
        draft, ahead = drafts.get(name), AHEAD.get(name, 1)
        found = [generate(decoder, p, new, temperature=0, draft=draft, ahead=ahead) for p in prompts]
        texts[name] = [one.ids for one in found]
        shares[name] = float(np.mean([one.accepted or 0 for one in found]))

    times = interleave(
        {name: functools.partial(write, name) for name in ("plain", *drafts)}, rounds, warmup=2
    )
    sizes = {
        "n-gram": f"{ORDER}-gram, {ngram.contexts:,} contexts",
        "GPT": f"GPT, {small.num_parameters():,} weights",
    }
    return [
        Drafted(
            f"{sizes[name]}, {AHEAD[name]} ahead",
            ratio_of(times[name], times["plain"]),
            texts["plain"] == texts[name],
            shares[name],
        )
        for name in drafts
    ]


if __name__ == "__main__":
    tt.set_num_threads(1)
    draft()

"""2017, the transformer: attention reverses what it reads, then writes a page of documentation.

Ashish Vaswani and others, "Attention is all you need", 2017. Each position asks all earlier ones for what it
needs. First task: after ten random letters and a ">", write the letters backwards, each from what was written
before it; a sequence counts if all ten are right. Second task: the same architecture on the documentation of
Python. It must need fewer bits per byte of unseen text than a bigram of all training text; then it writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.figure import Figure

import tinytorch as tt
from tinytorch import console, optim
from tinytorch.data import RandomWindows, TextWindows, load
from tinytorch.learn.drawing import shades
from tinytorch.learn.experiment import bigram_bits, bits_of, run
from tinytorch.models import GPT, generate
from tinytorch.text import BPETokenizer
from tinytorch.training import Stream, Trainer, next_token_loss

LESSON = 14
GOALS = {
    "sequences of 10 letters reversed": (">=", 0.99),
    "bits per byte saved beside a bigram": (">", 0.0),
}

LENGTH, MARK = 10, 26  # letters are 0 to 25, and 26 stands for ">"
NO_TARGET = -100  # positions with this target do not count in the loss
UNSEEN, UNSEEN_BYTES = 500, 20_000  # sequences, and bytes of text, that are kept for the test


@dataclass
class Trained:
    """What one run leaves to look at."""

    losses: tuple[list[float], list[float]]  # of both tasks, after each step
    attention: np.ndarray  # (10, 20): where each reversed letter is read from
    text: str


@dataclass
class Reversals:
    """Batches of random sequences; the batch of a step is a pure function of (seed, step)."""

    seed: int

    def batch(self, step: int, count: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Letters, ">" and the letters backwards but one, and what comes after each; (count, 20) both."""
        letters = np.random.default_rng([self.seed, step]).integers(0, MARK, (count, LENGTH))
        whole = np.hstack([letters, np.full((count, 1), MARK), letters[:, ::-1]])
        targets = whole[:, 1:].copy()
        targets[:, :LENGTH] = NO_TARGET
        return whole[:, :-1], targets


@cache
def words() -> tuple[BPETokenizer, np.ndarray]:
    """A tokenizer with 256 merges, and the ids of a megabyte of documentation."""
    text = load("pydocs", "train").text
    tokenizer = BPETokenizer.train(text[:300_000], vocab_size=512)
    return tokenizer, tokenizer.encode(text[:1_000_000])


def fit(model: GPT, source: Reversals | RandomWindows, steps: int, task: str) -> list[float]:
    """Train for so many steps on the batches of a source; the loss after each."""
    optimizer = optim.AdamW(model.parameters(), lr=5e-3)
    schedule = optim.CosineWithWarmup(optimizer, steps // 10, steps, 0.05)
    trainer = Trainer(model, optimizer, next_token_loss, schedule, clip=1.0, description=task)
    return trainer.fit(Stream(source), steps=steps).losses


def reversed_right(model: GPT) -> float:
    """The share of unseen sequences that the model writes backwards without an error, letter after letter."""
    ids, targets = Reversals(seed=2017).batch(step=0, count=UNSEEN)
    written = ids[:, : LENGTH + 1]
    with tt.no_grad():
        for _ in range(LENGTH):
            likeliest = model.eval()(tt.Tensor(written)).numpy()[:, -1].argmax(axis=-1)
            written = np.hstack([written, likeliest[:, None]])
    return float(np.mean((written[:, LENGTH + 1 :] == targets[:, LENGTH:]).all(axis=1)))


def bits_saved(model: GPT, tokenizer: BPETokenizer) -> float:
    """Bits per byte of unseen text saved beside a bigram; each prefix holds nothing to look ahead at."""
    text = load("pydocs", "test").text[:UNSEEN_BYTES]
    ids = tokenizer.encode(text)
    if tokenizer.decode(ids) != text:
        raise ValueError("the tokenizer does not give back the text that it was given")
    windows = TextWindows(ids, model.context)
    x, y = windows.batch(range(len(windows)))
    bits = (len(ids) - y.size) * np.log2(model.vocab_size)  # for the few that no window predicts
    with tt.no_grad():
        for length in range(1, model.context + 1):
            bits += bits_of(model.eval()(tt.Tensor(x[:, :length])).numpy()[:, -1], y[:, length - 1])
    return bigram_bits(load("pydocs", "train").text, text) - bits / len(text)


def attention_of(model: GPT) -> np.ndarray:
    """The weights of the first layer's heads, averaged over unseen sequences: (10 written, 20 read)."""
    ids, _ = Reversals(seed=2017).batch(step=1)
    block, shape = model.blocks[0], (*ids.shape, model.heads, -1)
    with tt.no_grad():
        x = block.norm1(model.wte(tt.Tensor(ids)) + model.wpe.weight)
        q, k = (proj(x).numpy().reshape(shape) for proj in (block.attn.q_proj, block.attn.k_proj))
    scores = np.einsum("bthd,bshd->bhts", q, k) / np.sqrt(q.shape[-1])
    weights = np.exp(np.where(np.tri(ids.shape[1], dtype=bool), scores, -np.inf))
    return (weights / weights.sum(axis=-1, keepdims=True)).mean(axis=(0, 1))[LENGTH:]


def trial(seed: int) -> tuple[dict[str, float], Trained]:
    """Train a model for each task and measure both."""
    tt.manual_seed(seed)
    reverser = GPT(MARK + 1, 2 * LENGTH, width=32, layers=1, heads=2)
    first = fit(reverser, Reversals(seed), steps=300, task="reversing")
    tokenizer, ids = words()
    writer = GPT(tokenizer.vocab_size, context=64, width=64, layers=2, heads=2)
    second = fit(writer, RandomWindows(ids, 64, batch_size=16, seed=seed), steps=400, task="writing")
    figures = zip(GOALS, (reversed_right(reverser), bits_saved(writer, tokenizer)), strict=True)
    prompt = list(tokenizer.encode("This function returns"))
    written = generate(writer, prompt, 100, temperature=0.7, generator=tt.Generator(seed))
    return dict(figures), Trained((first, second), attention_of(reverser), tokenizer.decode_text(written))


def draw(runs: Sequence[Trained]) -> Figure:
    """Where the first run reads each letter that it writes, and what it writes after its second training."""
    first = runs[0]
    for task, losses in zip(("reversing", "writing"), first.losses, strict=True):
        console.say(f"{task:10} loss {console.spark(losses, 36)} {losses[-1]:.3f}")
    console.say("\neach row writes a letter; the columns are what it reads")
    console.say("\n".join(shades(first.attention, 0, 1)))
    console.say(f"\n{first.text}")

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    curves, attention = figure.subplots(1, 2)
    for task, losses in zip(("reversing", "writing"), first.losses, strict=True):
        curves.plot(losses, label=task)
    curves.set(title="loss", xlabel="step", ylim=(0, None))
    curves.legend()
    attention.imshow(first.attention, cmap="Blues", vmin=0, vmax=1)
    attention.set(title="attention: letters written, from letters read", xlabel="position", ylabel="letter")
    return figure


if __name__ == "__main__":
    run(trial, draw, GOALS)

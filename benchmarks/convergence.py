"""GPT on pydocs beside PyTorch's: same first weights, same batches, AdamW, the first steps side by side."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch

import tinytorch as tt
from benchmarks import speed
from tinytorch import console, data, models, optim
from tinytorch.profiling.pytorch.twin import twin_of


@dataclass
class Curves:
    """Training loss in nats of each step, ours and PyTorch's, and the loss on held-out text at the end."""

    ours: np.ndarray
    peer: np.ndarray
    held_out: tuple[float, float]

    def worst(self, window: int = 50) -> float:
        """The largest relative difference between the two curves, each averaged over `window` steps."""
        kernel = np.ones(window) / window
        a, b = (np.convolve(curve, kernel, "valid") for curve in (self.ours, self.peer))
        return float((np.abs(a - b) / b).max())

    def held_out_difference(self) -> float:
        """The relative difference on held-out text."""
        return abs(self.held_out[0] - self.held_out[1]) / self.held_out[1]


def run(steps: int = 1000, batch: int = 8, context: int = 64, lr: float = 1e-3) -> Curves:
    """Train both on `steps` batches."""
    torch.set_num_threads(1)
    tt.set_num_threads(1)
    tt.manual_seed(1)
    ours = models.GPT()
    theirs = twin_of(ours)
    options = {"lr": lr, "betas": (0.9, 0.99), "weight_decay": 0.1}
    our_optimizer = optim.AdamW(ours.parameters(), **options)
    their_optimizer = torch.optim.AdamW(theirs.parameters(), **options)
    windows = data.RandomWindows(data.load("pydocs", "train").text, context, batch, seed=1)
    losses: tuple[list[float], list[float]] = ([], [])
    with console.progress(steps, "GPT beside PyTorch's", "steps") as bar:
        for step in range(steps):
            x, y = windows.batch(step)
            y = y.reshape(-1)
            ours_now = speed.our_step(ours, our_optimizer, tt.Tensor(x), tt.Tensor(y))()
            theirs_now = speed.torch_step(theirs, their_optimizer, torch.tensor(x), torch.tensor(y))()
            losses[0].append(ours_now.item())
            losses[1].append(theirs_now.item())
            bar.update(step + 1, ours=losses[0][-1], pytorch=losses[1][-1])
    held = data.TextWindows(data.load("pydocs", "validation").text, context)
    x, y = held.batch(range(0, len(held), len(held) // 128))
    with tt.no_grad(), torch.no_grad():
        a = float(
            tt.nn.functional.cross_entropy(ours(tt.Tensor(x)).reshape(-1, 256), tt.Tensor(y.reshape(-1)))
        )
        logits = theirs(torch.tensor(x)).reshape(-1, 256)
        b = float(torch.nn.functional.cross_entropy(logits, torch.tensor(y.reshape(-1))))
    return Curves(np.array(losses[0]), np.array(losses[1]), (a, b))


if __name__ == "__main__":
    curves = run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    console.table(
        f"GPT on pydocs, first {len(curves.ours):,} steps of AdamW beside PyTorch's",
        ["what", "figure", "must"],
        [
            ["largest difference of the curves (mean of 50 steps)", f"{curves.worst():.3%}", "<= 1 %"],
            ["held-out loss, ours / PyTorch, nats", "{:.4f} / {:.4f}".format(*curves.held_out), ""],
            ["difference", f"{curves.held_out_difference():.3%}", "<= 1 %"],
        ],
    )

"""A training loop that runs on holds no more than one that has just begun."""

import gc
import sys

import numpy as np

from tinytorch import Tensor, optim
from tinytorch.models import GPT
from tinytorch.nn import functional


def test_no_objects_pile_up_over_200_steps() -> None:
    model = GPT(width=16, layers=2, heads=2, context=8)
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    x, y = Tensor(rng.integers(0, 256, (2, 8))), Tensor(rng.integers(0, 256, 16))

    def step() -> None:
        loss = functional.cross_entropy(model(x).reshape(-1, 256), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(20):
        step()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(200):
        step()
    gc.collect()
    assert sys.getallocatedblocks() - before < 400  # a single node kept by each step would be more

"""Ten steps of each optimizer beside PyTorch's, with every option, in float32 and float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch import optim
from tinytorch.tensor import Tensor

torch = pytest.importorskip("torch")

SHAPES = [(128, 70), (70,), (3, 1, 3, 3), ()]
CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"weight_decay": 0.1, "betas": (0.8, 0.9), "eps": 1e-3}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.3, "betas": (0.9, 0.95), "eps": 1e-6}),
]
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def relative(found: Any, expected: Any) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_ten_steps(name: str, options: dict[str, Any], dtype: str) -> None:
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    ours = [Tensor(v, requires_grad=True) for v in values]
    theirs = [torch.nn.Parameter(torch.tensor(v)) for v in values]
    mine = getattr(optim, name)(ours, lr=0.05, **options)
    peer = getattr(torch.optim, name)(theirs, lr=0.05, **options)
    schedule = optim.StepLR(mine, 4, 0.5)
    peer_schedule = torch.optim.lr_scheduler.StepLR(peer, 4, 0.5)
    for number in range(10):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            g = rng.standard_normal(p.shape).astype(dtype)
            idle = i == 1 and number in (0, 5)  # a parameter that has no gradient now and then
            p.grad, q.grad = (None, None) if idle else (Tensor(g), torch.tensor(g))
        mine.step()
        peer.step()
        schedule.step()
        peer_schedule.step()
    for p, q in zip(ours, theirs, strict=True):
        assert relative(p.data, q.detach().numpy()) <= TOLERANCE[dtype]


@pytest.mark.parametrize("max_norm", [1.0, 1e4])
def test_clipping(max_norm: float) -> None:
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape) for shape in SHAPES]
    ours = [Tensor(v, requires_grad=True) for v in values]
    theirs = [torch.nn.Parameter(torch.tensor(v)) for v in values]
    for p, q, v in zip(ours, theirs, values, strict=True):
        p.grad, q.grad = Tensor(v), torch.tensor(v)
    norm = optim.clip_grad_norm(ours, max_norm)
    assert norm == pytest.approx(float(torch.nn.utils.clip_grad_norm_(theirs, max_norm)), rel=1e-12)
    for p, q in zip(ours, theirs, strict=True):
        assert p.grad is not None
        assert relative(p.grad.data, q.grad.numpy()) <= 1e-12

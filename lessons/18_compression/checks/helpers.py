"""Masks, products and clusters worked out by hand, in plain Python or float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch import console, nn
from tinytorch.random import Generator
from tinytorch.tensor import Tensor


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    """Spare the learner the progress of what is trained, and his cache what is compiled for it."""
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path))
    console.set_quiet(True)
    yield
    console.set_quiet(False)


def lowest(scores: Any, zeros: int) -> Any:
    """A mask without the `zeros` lowest scores, the first of equal ones going first: by sorting places."""
    places = sorted(range(scores.size), key=lambda i: (scores.ravel()[i], i))
    mask = np.ones(scores.size, bool)
    mask[places[:zeros]] = False
    return mask.reshape(scores.shape)


def tied(rng: Any, *shape: int) -> Any:
    """Scores of which many are equal."""
    return rng.integers(0, 5, size=shape).astype(float)


def sparse(rng: Any, n: int, k: int, share: float = 0.7) -> Any:
    """A weight (n, k) with about this share of zeros, the first and the last row among them."""
    w = (rng.normal(size=(n, k)) * (rng.random((n, k)) >= share)).astype(np.float32)
    w[[0, -1]] = 0
    return w


def soft_max(logits: Any) -> Any:
    """Shares of each row's classes, in float64."""
    e = np.exp(np.asarray(logits, np.float64) - np.max(logits, -1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def taught(student: Any, teacher: Any, labels: Any, t: float, hard: float) -> tuple[float, Any]:
    """The loss of distillation in float64, row by row, and its gradient for the student's logits."""
    classes = student.shape[-1]
    rows, lessons = student.reshape(-1, classes), teacher.reshape(-1, classes)
    loss, gradient = 0.0, np.zeros(rows.shape)
    for i, label in enumerate(labels.ravel().tolist()):
        p, q, plain = soft_max(rows[i] / t), soft_max(lessons[i] / t), soft_max(rows[i])
        kl = sum(b * (np.log(b) - np.log(a)) for a, b in zip(p, q, strict=True))
        loss += (1 - hard) * t * t * kl - hard * np.log(plain[label])
        gradient[i] = (1 - hard) * t * (p - q) + hard * (plain - np.eye(classes)[label])
    return loss / len(rows), (gradient / len(rows)).reshape(student.shape)


def clustered(values: Any, clusters: int, rounds: int = 200, weights: Any = None) -> tuple[Any, Any]:
    """k-means by the distances of each value to each centroid, in float64: centroids and indices."""
    flat = np.asarray(values, np.float64).ravel()
    counts = np.ones(flat.size) if weights is None else np.asarray(weights, np.float64).ravel()
    low, high = flat.min(), flat.max()
    centroids = [low + (high - low) * i / (clusters - 1) for i in range(clusters)] if clusters > 1 else []
    centroids = np.array(centroids or [(low + high) / 2])
    if len(set(flat.tolist())) <= clusters:
        centroids, rounds = np.array(sorted(set(flat.tolist()))), 0
    for _ in range(rounds):
        mine = closest(flat, centroids)
        before = centroids.copy()
        for c in range(clusters):
            if counts[mine == c].sum() > 0:
                centroids[c] = (counts * flat)[mine == c].sum() / counts[mine == c].sum()
        if np.allclose(before, centroids, 1e-14, 1e-14):
            break
    mine = closest(flat, centroids)
    used = np.unique(mine)
    return centroids[used], np.searchsorted(used, mine).reshape(np.shape(values))


def closest(flat: Any, centroids: Any) -> Any:
    """The number of the nearest centroid to each value, the lower of two that are equally near."""
    return np.abs(flat[:, None] - centroids[None]).argmin(1)


class Net(nn.Module):
    """Two convolutions with batch norm, flattened, and two linear layers; x: (batch, 2, 6, 6)."""

    def __init__(self, seed: int = 0, first: int = 5, second: int = 4, hidden: int = 6) -> None:
        super().__init__()
        g = Generator(seed)
        self.conv1 = nn.Conv2d(2, first, 3, padding=1, generator=g)
        self.bn1 = nn.BatchNorm2d(first)
        self.conv2 = nn.Conv2d(first, second, 3, generator=g)
        self.bn2 = nn.BatchNorm2d(second)
        self.relu, self.flatten = nn.ReLU(), nn.Flatten()
        self.fc1 = nn.Linear(second * 16, hidden, generator=g)
        self.fc2 = nn.Linear(hidden, 3, generator=g)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, 3)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.flatten(self.relu(self.bn2(self.conv2(x))))
        return self.fc2(self.relu(self.fc1(x)))


def stirred(net: Net, rng: Any) -> Net:
    """The net with biases and batch-norm statistics that matter, in evaluation mode."""
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if tensor.ndim == 1:
            low = 0.5 if name.endswith("running_var") else -1.0
            tensor.assign_(rng.uniform(low, 1.5, size=tensor.shape).astype(np.float32))
    return net.eval()


def arrays_of(net: nn.Module) -> dict[str, Any]:
    """Copies of all parameters and buffers with axes, by name."""
    found = (*net.named_parameters(), *net.named_buffers())
    return {name: tensor.numpy().copy() for name, tensor in found if tensor.ndim}

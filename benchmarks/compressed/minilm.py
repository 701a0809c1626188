"""all-MiniLM-L6-v2, which others trained, by each technique, untrained: what is saved, and what is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.compressed.oneshot import lost_of
from benchmarks.quantized.sentences import PAIRS, embeddings, encoded, sentences
from tinytorch import console
from tinytorch.compression.blocks import drop_blocks
from tinytorch.compression.lowrank import factorize
from tinytorch.compression.prune import prune
from tinytorch.compression.share import settled, shared
from tinytorch.compression.sparsify import sparsify
from tinytorch.compression.steps import program_bytes, weights_bytes
from tinytorch.compression.structure import shrink
from tinytorch.models import load_minilm
from tinytorch.nn import Module
from tinytorch.quantization.score import cosines
from tinytorch.quantization.speed import race
from tinytorch.random import Generator
from tinytorch.tensor import Tensor

TEXTS = 60


@dataclass(frozen=True)
class Line:
    """A technique: mean cosine of embeddings to those before, rank correlation of similarities lost, the file
    against float32 weights, parameters before over after, and time of 1 x 128 tokens before over after.
    """

    name: str
    cosine: float
    lost: float
    file: float
    parameters: float
    faster: str


def lines() -> list[Line]:
    """One line for each technique."""
    model = load_minilm()
    test, train = encoded(sentences("test", 2 * PAIRS)), encoded(sentences("train", TEXTS))
    calibration: list[Any] = [(ids, mask, ids) for ids, mask in train]
    wanted = embeddings(model, test)
    ways: dict[str, Callable[[], Module]] = {
        "float32, entropy-coded": lambda: model,
        "Wanda, 50 %": lambda: _wanda(model, 0.5, calibration),
        "shared, 16 numbers a layer": lambda: settled(shared(model, 16)),
        "shared, 64 numbers a layer": lambda: settled(shared(model, 64)),
        "low rank, 95 % of energy, by results": lambda: _thin(model, calibration),
        "a quarter of the neurons, Taylor": lambda: _shrunk(model, calibration, "channels"),
        "a quarter of the heads, Taylor": lambda: _shrunk(model, calibration, "heads"),
        "one of six blocks": lambda: drop_blocks(model, 1, [ids for ids, _ in train]).model,
    }
    found = []
    for name, make in ways.items():
        console.notice(f"minilm: {name}")
        made = make().eval()
        after = embeddings(made, test)
        x = model.example_input
        assert x is not None, "it has one"
        raced = race(model, made, x)
        found.append(
            Line(
                name,
                float(cosines(wanted, after).mean()),
                lost_of(wanted, after),
                weights_bytes(model) / program_bytes(made, x),
                model.num_parameters() / made.num_parameters(),
                f"{raced.gain.value:.2f} [{raced.gain.low:.2f}, {raced.gain.high:.2f}]",
            )
        )
    return found


def sparse_rows(sparsity: float) -> str:
    """What `sparsify` decides for the layers of a pruned MiniLM on 128 tokens."""
    model = load_minilm()
    assert model.example_input is not None, "it has one"
    _, report = sparsify(prune(model, sparsity, scope="layer").model, model.example_input, rounds=10)
    return repr(report)


def _wanda(model: Module, sparsity: float, calibration: list[Any]) -> Module:
    return prune(model, sparsity, scope="output", score="wanda", calibration=calibration).model


def _thin(model: Module, calibration: list[Any]) -> Module:
    return factorize(model, energy=0.95, calibration=calibration)[0]


def _shrunk(model: Module, calibration: list[Any], what: str) -> Module:
    """By Taylor scores, of a random linear function of the results: there are no labels."""
    directions = Generator(0).randn(384)

    def loss(states: Tensor, target: Tensor) -> Tensor:
        return ((states * directions).sum(-1) ** 2).mean()

    return shrink(model, None, 0.25, score="taylor", what=(what,), batches=calibration, loss=loss).model

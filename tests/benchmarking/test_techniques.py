"""Techniques are told from programs: a labelled set, with decoys that only look like one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.museum.crafted import renamed_copy
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.trace import trace
from tinytorch.autograd import no_grad
from tinytorch.benchmarking.techniques import found_in
from tinytorch.compression import factorize, prune, settled, shared, shrink
from tinytorch.compression.sparse import SparseLinear
from tinytorch.models import CNN, GPT, MLP
from tinytorch.nn.activations import ReLU
from tinytorch.nn.containers import Sequential
from tinytorch.nn.layers import Flatten, Linear
from tinytorch.nn.module import Module
from tinytorch.quantization.quantize import quantize
from tinytorch.random import Generator
from tinytorch.tensor import Tensor, from_numpy


def mlp() -> MLP:
    model = MLP((64, 48, 32, 10), generator=Generator(1))
    model.example_input = Generator(2).rand(1, 64)
    return model


def cnn() -> CNN:
    return CNN(1, image_size=12, generator=Generator(1))


def gpt() -> GPT:
    return GPT(64, context=16, width=32, layers=1, heads=2, generator=Generator(1))


def graph_of(model: Module) -> Graph:
    with no_grad():
        model.eval()
        return trace(model, (model.example_input,)).graph


def on_codes(model: Module, scheme: str) -> Module:
    x = model.example_input
    assert x is not None
    made = quantize(model, [x], scheme, prefer="size", max_loss=9.0)
    made.example_input = x
    return made


class StoredAsBytes(Module):
    """A layer whose weight is int8 in the file and float32 in the product: smaller, not faster."""

    def __init__(self, layer: Linear) -> None:
        super().__init__()
        scale = float(np.abs(layer.weight.data).max()) / 127
        self.codes = from_numpy(np.rint(layer.weight.data / scale).astype(np.int8))
        self.scale, self.bias = scale, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.codes.to("float32") * self.scale).T + self.bias  # type: ignore[operator]


def stored_as_bytes() -> Module:
    layers = mlp().layers
    made = Sequential(
        Flatten(), StoredAsBytes(layers[0]), ReLU(), StoredAsBytes(layers[2]), ReLU(), layers[4]
    )
    made.example_input = Generator(2).rand(1, 64)
    return made


def sparse() -> Module:
    pruned = prune(mlp(), 0.8).model
    layers = pruned.layers
    made = Sequential(Flatten(), SparseLinear.of(layers[0]), ReLU(), layers[2], ReLU(), layers[4])
    made.example_input = pruned.example_input
    return made


def wide() -> Module:
    """Two products in a row with more features between them than on either side: nothing was saved."""
    made = Sequential(Linear(64, 80), Linear(80, 32), ReLU(), Linear(32, 10))
    made.example_input = Generator(2).rand(1, 64)
    return made


def taught() -> Module:
    made = MLP((64, 24, 10), generator=Generator(3))
    made.example_input = Generator(2).rand(1, 64)
    return made


CASES: dict[str, tuple[Callable[[], Module], Callable[[], Module], set[str]]] = {
    "nothing, mlp": (mlp, mlp, set()),
    "nothing, cnn": (cnn, cnn, set()),
    "nothing, gpt": (gpt, gpt, set()),
    "int8, mlp": (lambda: on_codes(mlp(), "int8"), mlp, {"integer arithmetic"}),
    "int8, cnn": (lambda: on_codes(cnn(), "int8"), cnn, {"integer arithmetic"}),
    "int8, gpt": (lambda: on_codes(gpt(), "int8"), gpt, {"integer arithmetic"}),
    "int4": (lambda: on_codes(mlp(), "int4-g128"), mlp, {"integer arithmetic"}),
    "float16": (lambda: on_codes(mlp(), "float16"), mlp, {"stored in fewer bits"}),
    "pruned": (lambda: prune(mlp(), 0.7).model, mlp, {"pruned"}),
    "sparse": (sparse, mlp, {"pruned, sparse kernels"}),
    "low rank": (lambda: factorize(mlp(), rank=8)[0], mlp, {"low rank", "smaller shapes"}),
    "shared": (lambda: settled(shared(mlp(), 8)), mlp, {"shared weights"}),
    "narrow": (lambda: shrink(mlp(), None, 0.5).model, mlp, {"smaller shapes"}),
    "narrow cnn": (lambda: shrink(cnn(), None, 0.5).model, cnn, {"smaller shapes"}),
    "distilled into a smaller one": (taught, mlp, {"smaller shapes"}),
    "decoy: int8 in the file, float in the product": (stored_as_bytes, mlp, {"stored in fewer bits"}),
    "decoy: few zeros": (lambda: prune(mlp(), 0.1).model, mlp, set()),
    "decoy: wide inside": (wide, wide, set()),
    "decoy: codes have few values anyway": (lambda: on_codes(mlp(), "int8"), mlp, {"integer arithmetic"}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_was_done_is_found_and_nothing_else(name: str) -> None:
    make, base, wanted = CASES[name]
    model = make()
    if model.example_input is None:
        model.example_input = base().example_input
    assert {one.name for one in found_in(graph_of(model), graph_of(base()))} == wanted


def test_evidence_says_how_much() -> None:
    (pruned,) = found_in(graph_of(prune(mlp(), 0.7).model), graph_of(mlp()))
    assert "zeros, under dense kernels" in pruned.evidence
    share = int(pruned.evidence.split("%")[0])
    assert 65 <= share <= 75
    (codes,) = found_in(graph_of(on_codes(mlp(), "int8")), graph_of(mlp()))
    assert "100%" in codes.evidence
    assert "linearint8" in codes.evidence
    assert found_in(renamed_copy(graph_of(mlp())), graph_of(mlp())) == []

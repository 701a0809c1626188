"""What a program shows of what was done to it."""

import numpy as np
import pytest
from helpers import graph_of, mlp

from tinytorch.benchmarking.techniques import integer_work, zeros
from tinytorch.compression import prune
from tinytorch.compression.sparse import BlockedLinear, SparseLinear
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn.activations import ReLU
from tinytorch.nn.containers import Sequential
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module
from tinytorch.quantization.quantize import quantize
from tinytorch.random import Generator
from tinytorch.tensor import from_numpy


def coded(model, scheme="int8"):
    made = quantize(model, [model.example_input], scheme, prefer="size", max_loss=9.0)
    made.example_input = model.example_input
    return made


# ---------------------------------------------------------------- integer_work


@exercise("integer_work")
def test_a_float_model_has_none():
    expect.equal("integer_work(graph)", None, graph=graph_of(mlp(48, 32, 8)))


@exercise("integer_work")
@pytest.mark.parametrize(("scheme", "op"), [("int8", "linearint8"), ("int4-g128", "linearint4")])
def test_all_of_it(scheme, op):
    graph = graph_of(coded(mlp(64, 48, 32), scheme))
    found = expect.value("integer_work(graph)")
    expect.equal("found.name", "integer arithmetic", found=found)
    expect.equal("found.kind", "found", found=found)
    expect.true(
        "found.evidence.startswith('100%')", "the evidence begins with the share of the work", found=found
    )
    expect.true("found.evidence.endswith(op)", "the evidence ends with the ops", found=found, op=op)


@exercise("integer_work")
def test_a_part_of_it():
    x = Generator(2).rand(1, 64)
    first, second = mlp(64, 48), Linear(48, 16, generator=Generator(3))
    made = Sequential(coded(first), ReLU(), second)
    made.example_input = x
    share = 64 * 48 / (64 * 48 + 48 * 16)
    found = expect.value("integer_work(graph)", graph=graph_of(made))
    expect.true(
        "abs(int(found.evidence.split('%')[0]) - share) <= 1.5",
        f"{share:.0%} of the work is of integers",
        found=found,
        share=100 * share,
    )


@exercise("integer_work")
def test_kinds_are_named_once_and_in_order():
    x = Generator(2).rand(1, 128)
    parts = [
        coded(mlp(128, 64), "int8"),
        ReLU(),
        coded(mlp(64, 64), "int8"),
        ReLU(),
        coded(mlp(64, 16), "int4-g128"),
    ]
    made = Sequential(*parts)
    made.example_input = x
    found = expect.value("integer_work(graph)", graph=graph_of(made))
    expect.true(
        "found.evidence.endswith('linearint4, linearint8')", "each op is named once, in order", found=found
    )


class Bytes(Module):
    """A layer whose weight is stored as int8 and multiplied as float32."""

    def __init__(self, layer):
        super().__init__()
        self.scale = float(np.abs(layer.weight.data).max()) / 127
        self.codes = from_numpy(np.rint(layer.weight.data / self.scale).astype(np.int8))

    def forward(self, x):
        return x @ (self.codes.to("float32") * self.scale).T


@exercise("integer_work")
def test_stored_as_integers_is_not_multiplied_as_integers():
    made = Sequential(Bytes(Linear(48, 32, generator=Generator(3))))
    made.example_input = Generator(2).rand(1, 48)
    expect.equal("integer_work(graph)", None, graph=graph_of(made))


# ---------------------------------------------------------------- zeros


def with_zeros(shares, size=48):
    """Layers of size x size, each with a share of its weights at zero."""
    layers = []
    for number, share in enumerate(shares):
        layer = Linear(size, size, generator=Generator(number))
        weight = layer.weight.data.copy()
        weight.reshape(-1)[: round(share * weight.size)] = 0.0
        layer.weight.assign_(from_numpy(weight))
        layers += [layer, ReLU()]
    made = Sequential(*layers)
    made.example_input = Generator(9).rand(1, size)
    return made


@exercise("zeros")
def test_without_zeros_there_is_none():
    expect.equal("zeros(graph)", None, graph=graph_of(mlp(48, 32, 32)))
    expect.equal("zeros(graph)", None, graph=graph_of(with_zeros([0.1, 0.15])))


@exercise("zeros")
@pytest.mark.parametrize("share", [0.25, 0.5, 0.875])
def test_zeros_under_dense_kernels(share):
    found = expect.value("zeros(graph)", graph=graph_of(with_zeros([share, share])))
    expect.equal("(found.name, found.kind)", ("pruned", "found"), found=found)
    expect.true(
        "found.evidence.startswith(said)",
        "the evidence begins with the share of zeros",
        found=found,
        said=f"{share:.0%}",
    )


@exercise("zeros")
def test_just_enough():
    graph = graph_of(with_zeros([0.2], 50))
    found = expect.value("zeros(graph)")
    expect.true("found is not None and found.evidence.startswith('20%')", "a fifth is enough", found=found)


@exercise("zeros")
def test_a_tensor_with_few_zeros_counts_as_having_none():
    found = expect.value("zeros(graph)", graph=graph_of(with_zeros([0.5, 0.15])))
    expect.true(
        "found.evidence.startswith('25%')",
        "the zeros of the first layer, of the elements of both",
        found=found,
    )
    expect.equal("zeros(graph)", None, graph=graph_of(with_zeros([0.3, 0.15])))


@exercise("zeros")
def test_small_weights_say_nothing():
    tiny = mlp(8, 8, 4)
    for p in tiny.parameters():
        p.assign_(0.0)
    expect.equal("zeros(graph)", None, graph=graph_of(tiny))


@exercise("zeros")
@pytest.mark.parametrize("kind", [SparseLinear, BlockedLinear])
def test_a_sparse_kernel_is_named(kind):
    pruned = prune(mlp(64, 48, 32), 0.9).model
    made = Sequential(kind.of(pruned.layers[0]), ReLU(), Linear(48, 32, generator=Generator(4)))
    made.example_input = pruned.example_input
    found = expect.value("zeros(graph)", graph=graph_of(made))
    expect.equal("(found.name, found.kind)", ("pruned, sparse kernels", "found"), found=found)
    op = "linearcsr" if kind is SparseLinear else "linearblocked"
    expect.true("op in found.evidence", f"the evidence names {op}", found=found, op=op)


@exercise("zeros")
def test_sparse_kernels_come_first():
    pruned = prune(mlp(64, 48, 32), 0.9).model
    made = Sequential(SparseLinear.of(pruned.layers[0]), ReLU(), pruned.layers[2])
    made.example_input = pruned.example_input
    found = expect.value("zeros(graph)", graph=graph_of(made))
    expect.equal("found.name", "pruned, sparse kernels", found=found)

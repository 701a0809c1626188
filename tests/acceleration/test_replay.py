"""A program on batches of other sizes gives what it gives sample by sample."""

from __future__ import annotations

import numpy as np
import pytest

from tinytorch.acceleration.compiled import compile
from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.replay import Replay, growth
from tinytorch.acceleration.trace import trace
from tinytorch.autograd import no_grad
from tinytorch.errors import ProgramError
from tinytorch.models import CNN, GPT, MLP
from tinytorch.nn.module import Module
from tinytorch.ops.arithmetic import Add
from tinytorch.ops.elementwise import Relu
from tinytorch.ops.reduce import Sum
from tinytorch.ops.shape import Reshape
from tinytorch.ops.spec import Spec, float32
from tinytorch.quantization.quantize import quantize
from tinytorch.random import Generator
from tinytorch.tensor import Tensor, from_numpy


def small(kind: str) -> Module:
    generator = Generator(3)
    if kind == "gpt":
        return GPT(20, context=8, width=16, layers=2, heads=2, generator=generator)
    if kind == "cnn":
        return CNN(1, image_size=8, generator=generator)
    return MLP((12, 9, 4), generator=generator)


def graph_of(model: Module) -> Graph:
    with no_grad():
        return trace(model, (model.example_input,)).graph


def batch_for(model: Module, count: int) -> Tensor:
    example = model.example_input
    assert example is not None
    if example.dtype == float32:
        return Generator(1).rand(count, *example.shape[1:])
    return Generator(1).randint(0, 20, (count, *example.shape[1:]))


@pytest.mark.parametrize("kind", ["mlp", "cnn", "gpt"])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("count", [1, 5])
def test_a_batch_is_its_samples(kind: str, compiled: bool, count: int) -> None:
    model = small(kind).eval()
    replay = Replay(graph_of(model))
    x = batch_for(model, count)
    with no_grad():
        found = (compile(replay) if compiled else replay)(x).numpy()
        wanted = np.concatenate([model(x[i : i + 1]).numpy() for i in range(count)])
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["mlp", "cnn", "gpt"])
@pytest.mark.parametrize("scheme", ["int8", "mixed"])
def test_codes_go_along(kind: str, scheme: str) -> None:
    model = small(kind).eval()
    quantized = quantize(model, [batch_for(model, 4)], scheme, prefer="size", max_loss=1.0)
    quantized.example_input = model.example_input
    x = batch_for(model, 3)
    with no_grad():
        found = Replay(graph_of(quantized))(x).numpy()
        wanted = np.concatenate([quantized(x[i : i + 1]).numpy() for i in range(3)])
    assert np.abs(found - wanted).mean() < 0.02 * wanted.std()


def one_call(op: object, shape: tuple[int, ...], out: tuple[int, ...], more: object = None) -> Graph:
    specs = {0: Spec(shape, float32), 1: Spec(out, float32)}
    constants = {}
    inputs: tuple[int, ...] = (0,)
    if more is not None:
        specs[2], constants[2], inputs = Spec(more.shape, float32), more, (0, 2)  # type: ignore[attr-defined]
    return Graph(specs, (0,), {}, constants, [Call(op, inputs, (1,))], (1,))  # type: ignore[arg-type]


def test_weights_for_each_sample_are_refused() -> None:
    graph = one_call(Add(), (4, 3), (4, 3), np.ones((4, 3), np.float32))
    with pytest.raises(ProgramError, match="weights for each sample"):
        Replay(graph)(from_numpy(np.ones((8, 3), np.float32)))


def test_a_shape_that_the_batch_is_hidden_in_is_refused() -> None:
    with pytest.raises(ProgramError, match="replay"):
        Replay(one_call(Reshape((6, 2)), (4, 3), (6, 2)))


def test_a_program_that_mixes_samples_is_replayed_but_differs() -> None:
    graph = one_call(Sum((0,), True), (1, 3), (1, 3))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert Replay(graph)(from_numpy(x)).shape == (1, 3)


def test_a_program_without_inputs_or_with_states_that_change_is_refused() -> None:
    spec = Spec((2,), float32)
    with pytest.raises(ProgramError, match="no inputs"):
        Replay(
            Graph({0: spec, 1: spec}, (), {}, {0: np.ones(2, np.float32)}, [Call(Relu(), (0,), (1,))], (1,))
        )
    state = Graph(
        {0: spec, 1: spec, 2: spec},
        (0,),
        {1: Tensor([1.0, 2.0])},
        {},
        [Call(Relu(), (0,), (2,))],
        (2,),
        {1: 2},
    )
    with pytest.raises(ProgramError, match="changes states"):
        Replay(state)


def test_growth_names_the_axes_that_grow() -> None:
    model = small("gpt")
    graph = graph_of(model)
    found = growth(graph, 1, 4)
    assert found.axes[graph.outputs[0]] == (1,)
    assert len(found.rows) == 1, "the table of positions"

"""Compiled functions and models give what eager ones give: shapes, dtypes, arguments, results, weights."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tests.acceleration.compile_helper import Runs, close, counting_runs, random
from tinytorch import nn
from tinytorch.acceleration import compiled
from tinytorch.errors import ProgramError, ShapeError
from tinytorch.models import BERT, CNN, GPT, MLP
from tinytorch.nn import functional
from tinytorch.tensor import Tensor, from_numpy


@pytest.fixture
def runs() -> Iterator[Runs]:
    with counting_runs() as found:
        yield found


def mlp() -> MLP:
    return MLP((5, 7, 3), generator=tt.Generator(1))


# ---------------------------------------------------------------- models


@pytest.mark.parametrize("build", [mlp, lambda: CNN(image_size=8), lambda: GPT(30, 12, 16, 2, 2)])
@pytest.mark.parametrize("grad", [True, False])
def test_models_forward(build: Any, grad: bool, runs: Runs) -> None:
    model = build().eval()
    fast = tt.compile(model)
    x = model.example_input
    with tt.enable_grad() if grad else tt.no_grad():
        for _ in range(3):
            close(fast(x), model(x))
            assert fast(x).requires_grad == grad
    assert len(runs) == 5


def test_new_weights_are_seen(runs: Runs) -> None:
    model, other = mlp(), mlp()
    fast = tt.compile(model)
    x = random(2, 5)
    with tt.no_grad():
        fast(x)
        model.layers[0].weight.assign_(random(7, 5, seed=3))
        close(fast(x), model(x))
        model.layers[0].bias.assign_(1.5, at=(slice(0, 2),))
        close(fast(x), model(x))
        for p in other.parameters():
            p.assign_(p * 3.0)
        model.load_state_dict(other.state_dict())
        close(fast(x), other(x))
    assert len(runs) == 3


def test_weights_changed_by_an_eager_step(runs: Runs) -> None:
    model = mlp()
    fast = tt.compile(model)
    optimizer = tt_sgd(model)
    x = random(4, 5)
    for _ in range(4):
        with tt.no_grad():
            close(fast(x), model(x))
        model(x).sum().backward()
        optimizer.step()
    assert len(runs) == 3


def tt_sgd(model: nn.Module) -> Any:
    from tinytorch.optim import SGD

    return SGD(model.parameters(), lr=0.1, momentum=0.9)


def test_replaced_parts_are_seen(runs: Runs) -> None:
    model = mlp()
    fast = tt.compile(model)
    x = random(2, 5)
    with tt.no_grad():
        for seed in range(3):
            model.layers.__setattr__("0", nn.Linear(5, 7, generator=tt.Generator(seed)))
            close(fast(x), model(x))
            close(fast(x), model(x))
        model.layers[0].weight = nn.Parameter(random(7, 5, seed=9))
        close(fast(x), model(x))
        close(fast(x), model(x))
        model.layers[2].bias = None
        close(fast(x), model(x))
        close(fast(x), model(x))
        close(fast(x), model(x))


def test_a_model_of_another_dtype(runs: Runs) -> None:
    model = mlp()
    fast = tt.compile(model)
    x = random(2, 5)
    with tt.no_grad():
        close(fast(x), model(x))
        model.to("float64")
        x64 = x.to("float64")
        for _ in range(3):
            close(fast(x64), model(x64), 1e-12)
        assert fast(x64).dtype == np.float64
        model.to("float32")
        for _ in range(3):
            close(fast(x), model(x))


def test_shapes_and_dtypes_come_and_go(runs: Runs) -> None:
    fast = tt.compile(lambda x: (x * 2 + 1).sum(-1))
    shapes = [(3,), (2, 3), (1, 3), (0, 3), (4, 2, 3)]
    for _ in range(3):
        for shape in shapes:
            for dtype in (np.float32, np.float64, np.int64):
                x = Tensor(np.arange(np.prod(shape)).reshape(shape).astype(dtype))
                close(fast(x), (x * 2 + 1).sum(-1))
    assert len(runs) == 2 * len(shapes) * 3


def test_inputs_that_are_not_contiguous(runs: Runs) -> None:
    fast = tt.compile(lambda x, y: (x @ y).tanh())
    base = random(8, 6)
    with tt.no_grad():
        inputs = [base.T, base.T[::-1], base[::2, ::-1].T, base.T[:, ::2]]
        for x in inputs:
            y = random(6, x.shape[1], seed=2).T
            for _ in range(2):
                close(fast(x, y), (x @ y).tanh())
        row = tt.compile(lambda x: x.exp() + x)
        wide = random(1, 4).expand(3, 4)
        close(row(random(3, 4)), random(3, 4).exp() + random(3, 4))
        close(row(wide), wide.exp() + wide)
    assert len(runs) >= 5


def test_an_input_that_is_not_aligned() -> None:
    memory = np.zeros(4 * 33 + 1, np.uint8)
    array = memory[1:].view(np.float32)
    array[:] = np.arange(33)
    fast = tt.compile(lambda x: (x * x).sum())
    for _ in range(3):
        close(fast(from_numpy(array)), Tensor(np.float32(np.square(np.arange(33.0)).sum())))


# ---------------------------------------------------------------- arguments and results

Pair = namedtuple("Pair", "first second")


def test_nested_arguments(runs: Runs) -> None:
    def function(batch: Any, *, scale: float = 1.0, flags: Any = None) -> Tensor:
        x, more = batch["x"], batch["more"]
        out = x * scale + more[0] - more[1].first
        return out if flags == ("plus", 2) else -out

    fast = tt.compile(function)
    for seed in range(3):
        x, y, z = (random(2, 3, seed=seed + i) for i in range(3))
        batch = {"x": x, "more": [y, Pair(z, None)]}
        for flags in (None, ("plus", 2)):
            close(fast(batch, scale=2.0, flags=flags), function(batch, scale=2.0, flags=flags))
        close(fast(batch), function(batch))
        close(fast(batch, scale=2), function(batch, scale=2))
    assert len(runs) > 0


def test_numbers_among_the_arguments_are_told_apart_by_type(runs: Runs) -> None:
    x = Tensor([1, 2])
    fast = tt.compile(lambda x, n: x * n)
    for _ in range(3):
        for n in (1, True, 1.0, 0.0, -0.0, float("nan"), float("nan")):
            got, want = fast(x, n), x * n
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got.numpy(), want.numpy())
            assert (np.signbit(got.numpy()) == np.signbit(want.numpy())).all()


def test_results_of_every_form(runs: Runs) -> None:
    weight = nn.Parameter(random(3))
    buffer = tt.zeros(2)

    def function(x: Tensor) -> Any:
        y = x * 2.0
        return {
            "y": y,
            "again": [y, (x, weight, None, 7, "text")],
            "pair": Pair(y.sum(), 2.5),
            "buffer": buffer,
        }

    fast = tt.compile(function)
    x = random(3)
    fast(x)
    got = fast(x)
    assert len(runs) == 1
    close(got, function(x))
    assert got["again"][0] is got["y"]
    assert got["again"][1][0] is x
    assert got["again"][1][1] is weight
    assert got["again"][1][2:] == (None, 7, "text")
    assert type(got["pair"]) is Pair
    assert got["pair"].second == 2.5
    assert got["buffer"] is buffer
    another = random(3, seed=5)
    assert fast(another)["again"][1][0] is another
    assert fast(x)["y"] is not fast(x)["y"]


def test_results_that_are_views(runs: Runs) -> None:
    weight = nn.Parameter(random(4, 3))
    fast = tt.compile(lambda x: (x[1:], x.T, weight[0], weight.T, weight.detach(), x.reshape(-1)))
    x = random(2, 3)
    for _ in range(3):
        close(fast(x), (x[1:], x.T, weight[0], weight.T, weight, x.reshape(-1)))
    assert len(runs) == 2


def test_what_is_returned_is_not_overwritten_by_the_next_call(runs: Runs) -> None:
    fast = tt.compile(lambda x: (x + 1.0, tt.zeros(2), x.sum()))
    first = fast(tt.ones(3))
    second = fast(tt.ones(3))
    values = [t.numpy() for t in second]
    third = fast(tt.full((3,), 5.0))
    for kept, value in zip(second, values, strict=True):
        np.testing.assert_array_equal(kept.numpy(), value)
    second[1].assign_(7.0)
    assert third[1].tolist() == [0.0, 0.0]
    assert first[1].tolist() == [0.0, 0.0]
    assert fast(tt.ones(3))[1].tolist() == [0.0, 0.0]


def test_a_function_of_no_tensors_and_one_that_computes_nothing(runs: Runs) -> None:
    weight = nn.Parameter(random(3))
    double = tt.compile(lambda: weight * 2.0)
    for _ in range(3):
        close(double(), weight * 2.0)
        with tt.no_grad():
            weight.assign_(weight + 1.0)
    same = tt.compile(lambda x: x)
    x = random(2)
    assert same(x) is x
    assert same(x) is x
    nothing = tt.compile(lambda x: None)
    assert nothing(x) is None
    assert nothing(x) is None
    assert len(runs) >= 4


def test_one_tensor_given_twice(runs: Runs) -> None:
    fast = tt.compile(lambda a, b: a * 2.0 - b)
    x, y = random(3), random(3, seed=1)
    for _ in range(3):
        close(fast(x, x), x)
        close(fast(x, y), x * 2.0 - y)
        close(fast(x, x.detach()), x)
        close(fast(y, x), y * 2.0 - x)
    assert len(runs) >= 6


def test_a_weight_as_an_argument(runs: Runs) -> None:
    weight = nn.Parameter(random(3))
    fast = tt.compile(lambda x: x * weight.sum() + weight)
    x = random(3, seed=1)
    with tt.no_grad():
        for _ in range(3):
            close(fast(weight), weight * weight.sum() + weight)
            close(fast(x), x * weight.sum() + weight)
            close(fast(weight.detach()), weight * weight.sum() + weight)
            close(fast(x), x * weight.sum() + weight)
            weight.assign_(weight + 0.5)


def test_modules_and_generators_as_arguments(runs: Runs) -> None:
    first, second = mlp(), MLP((5, 4, 3), generator=tt.Generator(4))
    fast = tt.compile(lambda model, x: model(x).sum())
    x = random(2, 5)
    with tt.no_grad():
        for _ in range(3):
            close(fast(first, x), first(x).sum())
            close(fast(second, x), second(x).sum())
        noisy = tt.compile(lambda x, generator: x + generator.rand(5))
        a, b = tt.Generator(3), tt.Generator(3)
        for _ in range(4):
            close(noisy(x, a), x + b.rand(5))
    assert len(runs) > 5


# ---------------------------------------------------------------- callables


class Scaler:
    """A user's object with a method to compile."""

    def __init__(self) -> None:
        self.model, self.scale, self.calls = mlp(), 2.0, 0

    def apply(self, x: Tensor) -> Tensor:
        return self.model(x) * self.scale

    def __call__(self, x: Tensor) -> Tensor:
        return self.apply(x) + 1.0


def test_methods_partials_lambdas_and_callable_objects(runs: Runs) -> None:
    scaler = Scaler()
    x = random(2, 5)
    forms = [
        scaler.apply,
        functools.partial(lambda s, x: s.apply(x), scaler),
        lambda x: scaler.apply(x),
        scaler,
    ]
    with tt.no_grad():
        for form in forms:
            fast = tt.compile(form)
            for scale in (2.0, 2.0, 3.0, 3.0, 3.0, 2.0):
                scaler.scale = scale
                scaler.calls += 1  # nobody reads it
                close(fast(x), form(x))
    assert len(runs) == 4 * 3


def test_as_a_decorator_with_keyword_arguments(runs: Runs) -> None:
    @tt.compile
    def function(x: Tensor, *, by: Tensor) -> Tensor:
        return x * by

    x, y = random(3), random(3, seed=1)
    for _ in range(3):
        close(function(x, by=y), x * y)
        close(function(by=y, x=x), x * y)
    assert len(runs) == 3


def test_as_a_decorator_of_a_method(runs: Runs) -> None:
    class Layer(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.weight, self.scale = nn.Parameter(random(3)), scale

        @tt.compile
        def forward(self, x: Tensor) -> Tensor:
            """Scale and weigh."""
            return x * self.weight * self.scale

    assert list(inspect.signature(Layer.forward).parameters) == ["self", "x"]
    first, second = Layer(2.0), Layer(3.0)
    with tt.no_grad():
        for seed in range(4):
            x = random(3, seed=seed)
            for layer in (first, second):
                close(layer(x), x * layer.weight * layer.scale)
                layer.weight.assign_(layer.weight * 1.5)
    assert len(runs) == 3 + 2


def test_a_compiled_model_stands_in_for_the_model() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    fast = tt.compile(model)
    assert fast.eval() is fast
    assert not model.training
    assert not fast.training
    assert fast.train() is fast
    assert model[1].training
    assert next(iter(fast.parameters())) is model[0].weight
    assert fast.num_parameters() == 12
    fast.note = "kept by the model"
    assert model.note == "kept by the model"
    del fast.note
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = fast.nothing_of_this_name
    assert repr(fast) == "compiled(Sequential, 0 programs)"
    with pytest.raises(ProgramError, match="no program yet"):
        _ = fast.graph


def test_copies_are_compiled_anew(runs: Runs) -> None:
    model = mlp()
    fast = tt.compile(model)
    x = random(2, 5)
    with tt.no_grad():
        fast(x)
        twin = copy.deepcopy(fast)
        assert isinstance(twin, compiled.Compiled)
        for p in twin.parameters():
            p.assign_(p * 2.0)
        for _ in range(2):
            close(fast(x), model(x))
            close(twin(x), twin.function(x))
        assert copy.copy(fast).function is not None
    with pytest.raises(ProgramError, match="state_dict"):
        pickle.dumps(fast)


def test_compiled_inside_compiled(runs: Runs) -> None:
    model = mlp()
    inner = tt.compile(model)
    outer = tt.compile(lambda x: inner(x).relu() * 2.0)
    x = random(2, 5)
    with tt.no_grad():
        for _ in range(3):
            close(outer(x), model(x).relu() * 2.0)
        assert len(runs) == 2  # the inner one is part of the outer program
        model.layers[0].weight.assign_(0.25)
        close(outer(x), model(x).relu() * 2.0)
        model.layers[0].weight = nn.Parameter(random(7, 5, seed=8))
        for _ in range(3):
            close(outer(x), model(x).relu() * 2.0)


def test_shared_weights(runs: Runs) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(11, 6, generator=tt.Generator(2))
            self.head = nn.Linear(6, 11, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(self.embedding(ids).tanh())

    model = Tied()
    fast = tt.compile(model)
    ids = Tensor([[1, 2, 10], [0, 0, 3]])
    for _ in range(3):
        close(fast(ids), model(ids))
        fast(ids).sum().backward()
        got, model.embedding.weight.grad = model.embedding.weight.grad, None
        model(ids).sum().backward()
        close(got, model.embedding.weight.grad)
        model.embedding.weight.grad = None
        with tt.no_grad():
            model.head.weight.assign_(model.head.weight * 1.5)
    assert len(runs) == 5


def test_an_error_in_a_call_is_the_one_of_eager_mode(runs: Runs) -> None:
    embedding = nn.Embedding(4, 2)
    fast = tt.compile(embedding)
    good, bad = Tensor([0, 3]), Tensor([0, 4])
    with tt.no_grad():
        for _ in range(2):
            close(fast(good), embedding(good))
            with pytest.raises(ShapeError, match="embedding: id 4"):
                fast(bad)
        close(fast(good), embedding(good))
        with pytest.raises(ShapeError):
            tt.compile(mlp())(random(2, 4))


def test_bert_with_a_mask(runs: Runs) -> None:
    model = BERT(30, 12, 16, 2, 2).eval()
    fast = tt.compile(model)
    ids = Tensor(np.random.default_rng(0).integers(0, 30, (2, 7)))
    mask = Tensor(np.array([[1] * 7, [1] * 4 + [0] * 3]))
    with tt.no_grad():
        for _ in range(3):
            close(fast(ids, mask), model(ids, mask))
    assert len(runs) == 2


def test_what_is_saved_gives_the_results_alone(tmp_path: Path) -> None:
    model = mlp()
    fast = tt.compile(lambda x: (model(x), x, model(x).exp()))
    x = random(2, 5)
    fast(x)  # with gradients: the program also gives what backward needs
    assert len(fast.graph.outputs) > 2
    fast.save(tmp_path / "model.ttp")
    close(tt.load_program(tmp_path / "model.ttp")(x), (model(x), x, model(x).exp()))


# ---------------------------------------------------------------- threads


def test_two_threads_at_once(runs: Runs) -> None:
    model = mlp()
    fast = tt.compile(model)
    inputs = [random(3 + i % 2, 5, seed=i) for i in range(40)]
    want = [model(x).numpy() for x in inputs]
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            for i, x in enumerate(inputs):
                out = fast(x)
                if not np.allclose(out.numpy(), want[i], 1e-5, 1e-5):
                    wrong.append(i)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(runs) > 1000


def test_functional_forms(runs: Runs) -> None:
    weight = random(4, 3)
    fast = tt.compile(
        functools.partial(functional.linear, w=weight)
        if False
        else lambda x: functional.softmax(functional.linear(x, weight), -1)
    )
    for seed in range(3):
        x = random(2, 3, seed=seed)
        close(fast(x), functional.softmax(functional.linear(x, weight), -1))
    assert len(runs) == 2

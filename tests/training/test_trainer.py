"""The training loop: accumulation, evaluation, best weights, interruption, and losses that are not finite."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch import compile
from tinytorch.autograd import no_grad
from tinytorch.errors import CheckpointError, DataError, TrainingError
from tinytorch.nn import BatchNorm2d, CrossEntropyLoss, Dropout, Linear, Module, MSELoss, ReLU, Sequential
from tinytorch.ops.compare import where
from tinytorch.ops.softmax import softmax
from tinytorch.optim import SGD, Adam
from tinytorch.random import Generator, manual_seed
from tinytorch.tensor import Tensor
from tinytorch.training import Accuracy, History, Perplexity, Trainer, evaluate

Batches = list[tuple[Tensor, ...]]


def batches(count: int, size: int = 8, seed: int = 0, rest: int = 0) -> Batches:
    """Points in three classes by their largest coordinate."""
    rng = np.random.default_rng(seed)
    sizes = [size] * count + ([rest] if rest else [])
    xs = [rng.standard_normal((n, 3)).astype(np.float32) for n in sizes]
    return [(Tensor(x), Tensor(x.argmax(1))) for x in xs]


def classifier(seed: int = 0) -> Sequential:
    g = Generator(seed)
    return Sequential(Linear(3, 16, generator=g), ReLU(), Linear(16, 3, generator=g))


def weights(model: Module) -> list[np.ndarray[Any, Any]]:
    return [p.numpy() for p in model.parameters()]


def same(a: Module, b: Module) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(weights(a), weights(b), strict=True))


def test_a_run_learns_and_keeps_its_account() -> None:
    model = classifier()
    trainer = Trainer(
        model, Adam(model.parameters(), 0.01), CrossEntropyLoss(), metrics=[Accuracy(), Perplexity()]
    )
    history = trainer.fit(batches(20), epochs=10, validation=batches(5, seed=1))
    assert history.steps == list(range(1, 201))
    assert len(history.losses) == len(history.lr) == len(history.seconds) == 200
    assert [entry["step"] for entry in history.validation] == [20 * (i + 1) for i in range(10)]
    assert [entry["epoch"] for entry in history.validation] == list(range(1, 11))
    assert history.validation[-1]["accuracy"] > 0.85
    assert np.mean(history.losses[-20:]) < 0.5 * np.mean(history.losses[:20])
    assert history.validation[-1]["perplexity"] == pytest.approx(math.exp(history.validation[-1]["loss"]))
    assert history.seconds == sorted(history.seconds)
    assert not history.interrupted
    assert History.from_json(history.to_json()) == history
    assert evaluate(model, batches(5, seed=1), CrossEntropyLoss())["loss"] == history.validation[-1]["loss"]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_compiled_steps_train_as_eager_ones(accumulate: int) -> None:
    ends = []
    for how in (None, compile):
        model = Sequential(classifier(), Dropout(0.5), Linear(3, 3, generator=Generator(2)))
        manual_seed(3)
        trainer = Trainer(
            model,
            Adam(model.parameters(), 0.01),
            CrossEntropyLoss(),
            metrics=[Accuracy()],
            clip=0.5,
            accumulate=accumulate,
            compile=how,
        )
        history = trainer.fit(batches(6, rest=3), epochs=2)
        ends.append((history.losses, weights(model)))
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=1e-5)
    for eager, compiled in zip(ends[0][1], ends[1][1], strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=0, atol=1e-5)


def test_a_compiled_step_whose_loss_is_not_finite_changes_no_weight() -> None:
    model = classifier()
    before = weights(model)
    trainer = Trainer(model, SGD(model.parameters(), 0.1), CrossEntropyLoss(), compile=compile)
    with pytest.raises(TrainingError, match="the batch itself holds values that are not finite"):
        trainer.fit([(Tensor([[1.0, math.inf, 0.0]]), Tensor([0]))], epochs=1)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(model), strict=True))


def test_steps_end_a_run_in_the_middle_of_an_epoch() -> None:
    model = classifier()
    trainer = Trainer(model, SGD(model.parameters(), 0.1), CrossEntropyLoss(), evaluate_every=2)
    history = trainer.fit(batches(4), steps=7, validation=batches(1, seed=1))
    assert history.steps[-1] == 7
    assert [entry["step"] for entry in history.validation] == [2, 4, 6, 7]


@pytest.mark.parametrize("rest", [0, 5])
def test_accumulated_gradients_are_those_of_the_big_batch(rest: int) -> None:
    small = batches(8, size=6, rest=rest)
    big = [
        tuple(Tensor(np.concatenate([b[k].data for b in small[i : i + 3]])) for k in range(2))
        for i in range(0, len(small), 3)
    ]
    one, two = classifier().to("float64"), classifier().to("float64")
    for model, loader, accumulate in ((one, small, 3), (two, big, 1)):
        cast = [(x.to("float64"), y) for x, y in loader]
        trainer = Trainer(
            model, SGD(model.parameters(), 0.1, momentum=0.9), CrossEntropyLoss(), accumulate=accumulate
        )
        losses = trainer.fit(cast, epochs=3).losses
        assert len(losses) == 9
    for p, q in zip(weights(one), weights(two), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-11, atol=1e-13)


def test_evaluation_changes_no_module_and_no_generator() -> None:
    model = Sequential(Linear(3, 4), Dropout(0.5), Linear(4, 3))
    model.train()
    list(model.children())[1].eval()  # a part that the user froze stays frozen
    before = [m.training for m in model.modules()]
    generator = manual_seed(5)
    state = generator.state.numpy()
    first = evaluate(model, batches(2), CrossEntropyLoss(), [Accuracy()])
    assert evaluate(model, batches(2), CrossEntropyLoss(), [Accuracy()]) == first
    assert [m.training for m in model.modules()] == before
    np.testing.assert_array_equal(generator.state.data, state)


def test_evaluation_weighs_batches_by_their_size() -> None:
    model, loader = classifier(), batches(2, size=9, rest=2)
    whole = [tuple(Tensor(np.concatenate([b[k].data for b in loader])) for k in range(2))]
    parts, at_once = (evaluate(model, given, CrossEntropyLoss(), [Accuracy()]) for given in (loader, whole))
    assert parts == pytest.approx(at_once, rel=1e-6)


@pytest.mark.parametrize(("name", "choose"), [("accuracy", np.argmax), ("loss", np.argmin)])
def test_keep_best_ends_with_the_weights_of_the_best_evaluation(
    name: str, choose: Callable[[Any], int]
) -> None:
    model = classifier()
    seen: list[list[np.ndarray[Any, Any]]] = []

    class Watched(CrossEntropyLoss):
        def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
            if not model.training:
                seen.append(weights(model))
            return super().forward(logits, labels)

    trainer = Trainer(model, SGD(model.parameters(), 3.0), Watched(), metrics=[Accuracy()], keep_best=name)
    history = trainer.fit(batches(3), epochs=12, validation=batches(1, size=200, seed=1))
    figures = [entry[name] for entry in history.validation]
    best = int(choose(figures))
    assert 0 < best < len(figures) - 1, "a run whose first or last weights are its best shows nothing"
    assert all(np.array_equal(a, b) for a, b in zip(seen[best], weights(model), strict=True))
    assert history.best(name, name == "accuracy")["step"] == history.validation[best]["step"]


def test_a_figure_that_is_not_a_number_is_never_the_best() -> None:
    model = classifier()
    trainer = Trainer(model, SGD(model.parameters(), 0.1), CrossEntropyLoss())
    assert [trainer.keep_if_best(f) for f in (math.nan, 2.0, math.nan, 2.0, 1.0)] == [
        False,
        True,
        False,
        False,
        True,
    ]
    assert trainer.progress.best == 1.0
    kept = trainer.progress.best_weights
    with no_grad():
        next(iter(model.parameters())).assign_(7.0)
    assert not any((array == 7.0).all() for array in kept.values())


def test_clipping_bounds_each_step() -> None:
    model = classifier()
    before = weights(model)
    Trainer(model, SGD(model.parameters(), 1.0), CrossEntropyLoss(), clip=1e-3).fit(batches(1), steps=1)
    moved = math.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(before, weights(model), strict=True)))
    assert 0.9e-3 < moved < 1.01e-3


# ---------------------------------------------------------------- Ctrl-C


class CtrlC:
    """Batches whose given one comes with Ctrl-C, pressed so many times."""

    def __init__(self, inner: Batches, at: int, times: int = 1) -> None:
        self.inner, self.at, self.times, self.given = inner, at, times, 0

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for batch in self.inner:
            self.given += 1
            if self.given == self.at:
                for _ in range(self.times):
                    signal.raise_signal(signal.SIGINT)
            yield batch


def trainer_of(model: Module, path: Path | None = None, **options: Any) -> Trainer:
    return Trainer(model, Adam(model.parameters(), 0.01), CrossEntropyLoss(), checkpoint=path, **options)


def test_ctrl_c_finishes_the_step_and_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole, stopped, resumed = classifier(), classifier(), classifier(seed=9)
    trainer_of(whole).fit(batches(6), epochs=3)
    before = signal.getsignal(signal.SIGINT)
    history = trainer_of(stopped, path).fit(CtrlC(batches(6), at=9), epochs=3)
    assert signal.getsignal(signal.SIGINT) is before
    assert history.interrupted
    assert history.steps[-1] == 9
    again = trainer_of(resumed, path).fit(batches(6), epochs=3, resume=True)
    assert not again.interrupted
    assert again.steps == list(range(1, 19))
    assert same(resumed, whole)


def test_a_second_ctrl_c_stops_at_once_and_the_checkpoint_still_loads(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole, stopped, resumed = classifier(), classifier(), classifier(seed=9)
    trainer_of(whole).fit(batches(6), epochs=3)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trainer_of(stopped, path, checkpoint_every=2).fit(CtrlC(batches(6), at=9, times=2), epochs=3)
    assert signal.getsignal(signal.SIGINT) is before
    assert trainer_of(resumed, path).fit(batches(6), epochs=3, resume=True).steps == list(range(1, 19))
    assert same(resumed, whole)


def test_ctrl_c_twice_before_the_first_step_leaves_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        trainer_of(classifier(), path).fit(CtrlC(batches(2), at=1, times=2), epochs=1)
    assert trainer_of(classifier(), path).fit(batches(2), epochs=1, resume=True).steps == [1, 2]


def test_an_interrupted_run_does_not_take_over_the_best_weights(tmp_path: Path) -> None:
    model = classifier()
    trainer = trainer_of(model, metrics=[Accuracy()], keep_best="accuracy")
    history = trainer.fit(CtrlC(batches(6), at=9), epochs=3, validation=batches(1, seed=1))
    assert history.interrupted
    assert len(history.validation) == 1  # of the epoch before


# ---------------------------------------------------------------- not finite


class Poison(Module):
    """x, or x / 0 from the given call on."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        return x / 0.0 if self.left < 0 else x


class Deep(Module):
    """A stack with a poisoned layer in the middle of a named branch."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.stem = Linear(3, 4)
        self.drop = Dropout(0.5)
        self.branch = Sequential(ReLU(), Poison(after), Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(self.drop(self.stem(x)))  # type: ignore[no-any-return]


def test_a_loss_that_is_not_finite_names_step_rate_and_module(tmp_path: Path) -> None:
    model = Deep(after=4)
    path = tmp_path / "run.safetensors"
    trainer = Trainer(
        model, SGD(model.parameters(), 0.125), CrossEntropyLoss(), checkpoint=path, checkpoint_every=1
    )
    with pytest.raises(TrainingError, match=r"step 5, learning rate 0\.125: the loss is nan") as caught:
        trainer.fit(batches(8), epochs=1)
    assert "div in 'branch.1'" in str(caught.value)
    assert "parameters" not in str(caught.value).split("Lower")[0]
    assert str(path) in str(caught.value)
    fresh = Deep(after=99)
    Trainer(fresh, SGD(fresh.parameters(), 0.125), CrossEntropyLoss(), checkpoint=path).fit(
        batches(8), steps=4, resume=True
    )
    assert all(np.isfinite(p).all() for p in weights(fresh))


def test_a_mask_of_minus_infinity_is_not_blamed() -> None:
    class Masked(Module):
        def __init__(self) -> None:
            super().__init__()
            self.scores, self.broken = Linear(3, 3), Poison(0)

        def forward(self, x: Tensor) -> Tensor:
            scores = where(Tensor([True, False, True]), self.scores(x), -math.inf)
            return self.broken(softmax(scores, -1))  # type: ignore[no-any-return]

    with pytest.raises(TrainingError, match="div in 'broken'"):
        trainer_of(Masked()).fit(batches(1), epochs=1)


def test_parameters_that_are_not_finite_are_named() -> None:
    model = classifier()
    with no_grad():
        list(model.parameters())[2].assign_(math.nan)
    with pytest.raises(TrainingError, match=r"1 parameters were not finite before it: 2\.weight.*'2'"):
        trainer_of(model).fit(batches(1), epochs=1)


def test_a_batch_that_is_not_finite_is_named() -> None:
    bad = [(Tensor([[1.0, math.inf, 0.0]]), Tensor([0]))]
    with pytest.raises(TrainingError, match="the batch itself holds values that are not finite"):
        trainer_of(classifier()).fit(bad, epochs=1)


def test_a_loss_that_overflows_by_itself_is_found_outside_the_model() -> None:
    model = Linear(1, 1)
    data = [(Tensor([[1.0]]), Tensor([[1e30]]))]
    with pytest.raises(TrainingError, match="mul outside of named modules"):
        Trainer(model, SGD(model.parameters(), 1.0), lambda a, b: ((a - b) * (a - b)).mean()).fit(
            data, epochs=1
        )


def test_a_gradient_that_is_not_finite_is_named_where_gradients_are_clipped() -> None:
    model = Linear(1, 1)
    loss: Callable[[Tensor, Tensor], Tensor] = lambda out, _: (out * 0.0).sqrt().sum()  # noqa: E731
    with pytest.raises(TrainingError, match="gradients are not finite: weight, bias"):
        Trainer(model, SGD(model.parameters(), 1.0), loss, clip=1.0).fit(
            [(Tensor([[1.0]]), Tensor([[1.0]]))], epochs=1
        )
    assert all(np.isfinite(p).all() for p in weights(model))


# ---------------------------------------------------------------- bad input


def test_what_cannot_be_trained_on() -> None:
    x, y = Tensor(np.zeros((2, 3), np.float32)), Tensor(np.zeros(2, np.int64))
    empty = (Tensor(np.zeros((0, 3), np.float32)), Tensor(np.zeros(0, np.int64)))
    for loader in ([], [x], [(x,)], [(x.data, y.data)], [[x, y]], [empty]):
        with pytest.raises(DataError, match="batch"):
            trainer_of(classifier()).fit(loader, epochs=1)  # type: ignore[arg-type]
        with pytest.raises(DataError, match="batch"):
            evaluate(classifier(), loader, CrossEntropyLoss())  # type: ignore[arg-type]


def test_settings_that_make_no_sense() -> None:
    for options in (
        {"accumulate": 0},
        {"checkpoint_every": 0},
        {"evaluate_every": -1},
        {"keep_best": "accuracy"},
    ):
        with pytest.raises(ValueError, match="Trainer"):
            trainer_of(classifier(), **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="epochs or steps"):
        trainer_of(classifier()).fit(batches(1))
    with pytest.raises(ValueError, match="validation"):
        trainer_of(classifier(), keep_best="loss").fit(batches(1), epochs=1)
    with pytest.raises(ValueError, match="checkpoint"):
        trainer_of(classifier()).fit(batches(1), epochs=1, resume=True)


def test_an_account_that_is_damaged() -> None:
    good = History([1], [0.5], [0.1], [0.2])
    assert json.loads(good.to_json())["losses"] == [0.5]
    for text in ("", "[]", "{}", good.to_json().replace("[0.5]", "[]"), good.to_json().replace("[0.5]", "3")):
        with pytest.raises(CheckpointError, match="History"):
            History.from_json(text)


def test_batch_norm_and_regression_train_as_well() -> None:
    class Net(Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.out = BatchNorm2d(2), Linear(8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.norm(x).reshape(-1, 8))  # type: ignore[no-any-return]

    rng = np.random.default_rng(0)
    x = rng.standard_normal((32, 2, 2, 2)).astype(np.float32)
    data = [(Tensor(x), Tensor(x.reshape(32, 8).sum(1, keepdims=True)))]
    model = Net()
    history = Trainer(model, Adam(model.parameters(), 0.05), MSELoss()).fit(data, epochs=150)
    assert history.losses[-1] < 0.01 * history.losses[0]

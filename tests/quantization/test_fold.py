"""Batch norms in convolutions: the same results in evaluation mode, and only where nobody else reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.quantization.simulation import close, normal, run
from tinytorch import Tensor, no_grad
from tinytorch.acceleration.arguments import tensors_in
from tinytorch.nn import BatchNorm2d, Conv2d, Identity, MaxPool2d, Module, ReLU, Sequential
from tinytorch.quantization.fold import fold_batch_norms, folded, replace


def norm(channels: int, seed: int = 0) -> BatchNorm2d:
    """A batch norm of which nothing is as it begins."""
    rng, layer = np.random.default_rng(seed), BatchNorm2d(channels, eps=1e-3)
    with no_grad():
        layer.weight.assign_(rng.uniform(-2, 2, channels).astype(np.float32))
        layer.bias.assign_(rng.standard_normal(channels).astype(np.float32))
        layer.running_mean.assign_(rng.standard_normal(channels).astype(np.float32))
        layer.running_var.assign_(rng.uniform(0.01, 4, channels).astype(np.float32))
    return layer


def test_the_formula() -> None:
    rng = np.random.default_rng(0)
    w, b = rng.standard_normal((4, 3, 2, 2)), rng.standard_normal(4)
    weight, bias, mean = rng.standard_normal((3, 4))
    variance, x = rng.uniform(0.1, 3, 4), rng.standard_normal((3, 2, 2))
    new_w, new_b = folded(w, b, weight, bias, mean, variance, 1e-5)
    for channel in range(4):
        out = (x * w[channel]).sum() + b[channel]
        expected = (out - mean[channel]) / np.sqrt(variance[channel] + 1e-5) * weight[channel] + bias[channel]
        assert (x * new_w[channel]).sum() + new_b[channel] == pytest.approx(expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_folded_model_gives_what_it_gave(bias: bool, groups: int) -> None:
    model = Sequential(
        Conv2d(2, 6, 3, padding=1, bias=bias, groups=groups),
        norm(6, 1),
        ReLU(),
        MaxPool2d(2),
        Conv2d(6, 4, 3, stride=2, bias=bias),
        norm(4, 2),
    )
    model.eval()
    x, first = normal(0, 3, 2, 9, 9), normal(1, 1, 2, 9, 9)
    before = run(model, x)
    assert fold_batch_norms(model, [first]) == [("0", "1"), ("4", "5")]
    assert isinstance(model[1], Identity)
    assert isinstance(model[5], Identity)
    assert not any(isinstance(m, BatchNorm2d) for m in model.modules())
    close(run(model, x), before)
    assert sorted(model.state_dict()) == ["0.bias", "0.weight", "4.bias", "4.weight"]
    assert fold_batch_norms(model, [first]) == []


def test_a_model_in_training_keeps_its_modes_and_running_statistics() -> None:
    model = Sequential(Conv2d(1, 2, 1), ReLU(), norm(2))
    model.train()
    mean = model[2].running_mean.data.copy()
    assert fold_batch_norms(model, [normal(0, 2, 1, 3, 3)]) == []
    assert all(m.training for m in model.modules())
    np.testing.assert_array_equal(model[2].running_mean.data, mean)


class Branch(Module):
    """A convolution whose results go through a batch norm and somewhere else."""

    def __init__(self, other: Module | None) -> None:
        super().__init__()
        self.conv, self.norm, self.other = Conv2d(2, 3, 3), norm(3), other

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(y) + (y * 2.0 if self.other is None else self.other(y))


@pytest.mark.parametrize("other", [None, ReLU(), norm(3, 5), Conv2d(3, 3, 1)])
def test_what_another_module_reads_too_is_not_folded(other: Module | None) -> None:
    model, x = Branch(other), normal(0, 2, 2, 5, 5)
    model.eval()
    before = run(model, x)
    assert fold_batch_norms(model, [x]) == []
    assert isinstance(model.norm, BatchNorm2d)
    np.testing.assert_array_equal(run(model, x), before)


def test_what_lies_between_keeps_a_batch_norm_where_it_is() -> None:
    model, x = Sequential(Conv2d(1, 2, 1), ReLU(), norm(2), norm(2, 3)), normal(0, 2, 1, 3, 3)
    model.eval()
    before = run(model, x)
    assert fold_batch_norms(model, [x]) == []
    np.testing.assert_array_equal(run(model, x), before)


def test_of_two_batch_norms_in_a_row_the_first_is_folded() -> None:
    model, x = Sequential(Conv2d(1, 2, 1), norm(2), norm(2, 3)), normal(0, 2, 1, 3, 3)
    model.eval()
    before = run(model, x)
    assert fold_batch_norms(model, [x]) == [("0", "1")]
    close(run(model, x), before)


class Held(Module):
    """A convolution and a batch norm, one of which is held under a second name, and goes by the last one."""

    def __init__(self, twice: str, last: str) -> None:
        super().__init__()
        self.conv, self.norm = Conv2d(2, 2, 1), norm(2)
        self.again = self.conv if twice == "conv" else self.norm
        setattr(self, last, getattr(self, last))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.again(x)) if self.again is self.conv else self.norm(self.conv(x))


@pytest.mark.parametrize("twice", ["conv", "norm"])
@pytest.mark.parametrize("again", [False, True])
def test_modules_that_are_held_twice_stay(twice: str, again: bool) -> None:
    model, x = Held(twice, "again" if again else twice), normal(0, 2, 2, 4, 4)
    model.eval()
    before = run(model, x)
    assert fold_batch_norms(model, [x]) == []
    assert isinstance(model.norm, BatchNorm2d)
    np.testing.assert_array_equal(run(model, x), before)


class Twice(Module):
    """A convolution that runs twice, each time before the same batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = Conv2d(2, 2, 1), norm(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(self.norm(self.conv(x)).relu()))


def test_a_pair_that_runs_twice() -> None:
    model, x = Twice(), normal(0, 2, 2, 4, 4)
    model.eval()
    before = run(model, x)
    fold_batch_norms(model, [x])
    close(run(model, x), before)


class Special(BatchNorm2d):
    """A batch norm of one's own."""


class Own(Conv2d):
    """A convolution of one's own."""


@pytest.mark.parametrize("layers", [(Conv2d(1, 2, 1), Special(2)), (Own(1, 2, 1), norm(2))])
def test_subclasses_stay(layers: tuple[Module, Module]) -> None:
    model = Sequential(*layers)
    model.eval()
    assert fold_batch_norms(model, [normal(0, 1, 1, 2, 2)]) == []


def test_replace_puts_a_module_at_a_path_under_its_name() -> None:
    model = Sequential(Sequential(ReLU(), ReLU()), ReLU())
    for path in ("0.1", "1"):
        new = Identity()
        replace(model, path, new)
        assert dict(model.named_modules())[path] is new
    assert len(model) == len(model[0]) == 2


class Wired(Module):
    """Convolutions and a batch norm, wired so that the batch norm cannot go into any convolution."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.a, self.b, self.norm = Conv2d(3, 3, 1), Conv2d(3, 3, 1), norm(3)

    def forward(self, x: Tensor) -> Any:
        y = self.a(x)
        if self.how == "returned too":
            return self.norm(y), y
        if self.how == "of two convolutions":
            return self.norm(y) + self.norm(self.b(x))
        if self.how == "of the input too":
            return self.norm(y) + self.norm(x)
        return self.norm(self.a(y))  # the convolution runs twice


@pytest.mark.parametrize(
    "how", ["returned too", "of two convolutions", "of the input too", "a convolution that runs twice"]
)
def test_a_batch_norm_that_has_to_do_with_others_stays(how: str) -> None:
    model, x = Wired(how), normal(0, 2, 3, 4, 4)
    model.eval()
    before = [t.data for t in tensors_in(model(x))]
    assert fold_batch_norms(model, [x]) == []
    assert isinstance(model.norm, BatchNorm2d)
    for found, expected in zip(tensors_in(model(x)), before, strict=True):
        np.testing.assert_array_equal(found.data, expected)

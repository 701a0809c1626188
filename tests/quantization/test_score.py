"""What a model loses, against figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.quantization.simulation import mlp, normal, run
from tinytorch import Tensor
from tinytorch.errors import QuantizationError
from tinytorch.nn import Dropout, Module
from tinytorch.quantization.score import LEAST, Score, cosines, first, hits, losses, sqnr


class Says(Module):
    """Gives the same logits whatever goes in, a row of them for each sample."""

    def __init__(self, logits: object) -> None:
        super().__init__()
        self.logits = np.asarray(logits, np.float32)
        self.drop = Dropout(0.9)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(Tensor(self.logits[: x.shape[0]]))


X = Tensor(np.zeros((4, 1), np.float32))
LABELS = Tensor(np.array([0, 1, 1, 0]))
GOOD = [[2.0, 1.0], [0.0, 3.0], [1.0, 2.0], [0.0, 1.0]]
BAD = [[2.0, 1.0], [4.0, 3.0], [3.0, 2.0], [0.0, 1.0]]


def test_accuracy_costs_the_difference() -> None:
    score = Score(Says(GOOD), [(X, LABELS)])
    assert (score.name, score.before) == ("accuracy", 0.75)
    assert score.value(Says(BAD)) == 0.25
    assert score.cost(Says(BAD)) == 0.5
    assert Score(Says(BAD), [(X, LABELS)]).cost(Says(GOOD)) == -0.5


def test_accuracy_weighs_samples_not_batches() -> None:
    short = (Tensor(np.zeros((1, 1), np.float32)), Tensor(np.array([1])))
    assert Score(Says(GOOD), [(X, LABELS), short]).before == 3 / 5


def test_a_class_at_each_position_costs_the_share_of_the_loss() -> None:
    p = np.array([[[0.5, 0.5], [0.25, 0.75]], [[0.1, 0.9], [0.5, 0.5]]])
    targets = Tensor(np.array([[0, 0], [1, 1]]))
    x = Tensor(np.zeros((2, 1), np.float32))
    before = -np.log([0.5, 0.25, 0.9, 0.5]).mean()
    after = -np.log([0.5, 0.75, 0.1, 0.5]).mean()
    score = Score(Says(np.log(p)), [(x, targets)])
    assert score.name == "loss"
    assert score.before == pytest.approx(before)
    other = Says(np.log(p[:, :, ::-1]))
    assert score.value(other) == pytest.approx(after)
    assert score.cost(other) == pytest.approx(after / before - 1)


@pytest.mark.parametrize("batch", [X, (X,), (X, Tensor(np.ones((4, 1), np.float32))), (X, Tensor(7))])
def test_without_classes_it_is_the_cosine(batch: Tensor | tuple[Tensor, ...]) -> None:
    first_rows, second = (
        [[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]],
        [[4.0, 3.0], [0, 1], [0, 0], [2, 2]],
    )
    score = Score(Says(first_rows), [batch])
    assert score.name == "cosine"
    assert score.before == pytest.approx(1.0)
    assert score.value(Says(second)) == pytest.approx((24 / 25 + 0 + 1 + 1) / 4)
    assert score.cost(Says(second)) == pytest.approx(1 - (24 / 25 + 2) / 4)


def test_a_metric_of_ones_own() -> None:
    def least(model: Module) -> float:
        return -float(model(X).data.max())

    good, bad = Says(GOOD).eval(), Says(BAD).eval()
    score = Score(good, [(X, LABELS)], least)
    assert (score.name, score.before, score.value(bad), score.cost(bad)) == ("metric", -3.0, -4.0, 1.0)


def test_scores_are_of_evaluation_mode_and_leave_modes_alone() -> None:
    model = Says(GOOD)
    model.train()
    assert Score(model, [(X, LABELS)]).before == 0.75
    assert model.training
    assert model.drop.training


def test_without_batches() -> None:
    with pytest.raises(QuantizationError, match="no batches"):
        Score(mlp(), [])


def test_hits_and_losses_of_single_rows() -> None:
    logits = np.array([[0.0, 0.0, 1.0], [5.0, 0.0, 0.0]], np.float32)
    assert hits(logits, np.array([2, 1])).tolist() == [1.0, 0.0]
    z = [math.log(2 + math.e), math.log(2 + math.exp(5))]
    assert losses(logits, np.array([0, 0])) == pytest.approx([z[0], z[1] - 5])


def test_cosines_of_rows_and_of_zeros() -> None:
    a = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1e30, 1e30], [1e-30, 0.0]], np.float32)
    b = np.array([[0.0, -2.0], [0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]], np.float32)
    assert cosines(a, b) == pytest.approx([0.0, 1.0, 0.0, 1.0, -1.0])
    assert cosines(a.reshape(5, 1, 2), b.reshape(5, 1, 2)).shape == (5,)


def test_signal_over_noise() -> None:
    wanted = np.array([3.0, 4.0], np.float32)
    assert sqnr(wanted, np.array([3.0, 4.5], np.float32)) == pytest.approx(10 * math.log10(25 / 0.25))
    assert sqnr(wanted, wanted) == math.inf
    assert sqnr(np.zeros(2), np.zeros(2)) == math.inf
    assert sqnr(np.zeros(2), np.ones(2)) == -math.inf


def test_first_takes_whole_batches_until_there_are_enough() -> None:
    batches = [normal(i, 3, 2) for i in range(4)]
    assert [len(first(batches, n)) for n in (0, 1, 3, 4, 12, 99)] == [0, 1, 1, 2, 4, 4]


def test_values_of_a_real_model_are_those_of_its_logits() -> None:
    model, x = mlp(), normal(0, 40, 16)
    labels = np.arange(40) % 5
    logits = run(model, x).astype(np.float64)
    score = Score(model, [(x[:30], Tensor(labels[:30])), (x[30:], Tensor(labels[30:]))])
    assert score.before == pytest.approx(np.mean(logits.argmax(1) == labels))


def test_a_loss_of_nothing_costs_no_division() -> None:
    sure = np.array([[[200.0, 0.0]] * 2] * 2)
    x, targets = Tensor(np.zeros((2, 1), np.float32)), Tensor(np.zeros((2, 2), np.int64))
    score = Score(Says(sure), [(x, targets)])
    assert score.before == 0
    assert score.cost(Says(sure)) == 0
    assert score.cost(Says(sure[..., ::-1])) == pytest.approx(200 / LEAST)


def test_results_that_are_no_tensor_need_a_metric() -> None:
    class Both(Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    with pytest.raises(QuantizationError, match=r"returns a tuple, not a Tensor; give a metric="):
        Score(Both(), [X])
    assert Score(Both(), [X], lambda model: 0.5).before == 0.5

"""Running means, accuracy, perplexity, and the evaluation of a model."""

import math

import numpy as np
from helpers import Modes, Note, batch_of, line, modes, squares

from tinytorch.errors import DataError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn import Dropout, Linear, MSELoss, ReLU, Sequential
from tinytorch.ops.context import state
from tinytorch.tensor import Tensor
from tinytorch.training.metrics import Accuracy, Perplexity, RunningMean, evaluate, evaluating

# ---------------------------------------------------------------- RunningMean


@exercise("RunningMean.add")
def test_totals(rng):
    a, b = rng.normal(size=2)
    mean = RunningMean()
    expect.value("mean.add(a, weight=3)")
    expect.close("(mean.total, mean.weight)", (3 * a, 3.0))
    expect.value("mean.add(b)")
    expect.close("(mean.total, mean.weight)", (3 * a + b, 4.0))
    expect.value("mean.add(7.0, 0)")
    expect.close("(mean.total, mean.weight)", (3 * a + b, 4.0))


@exercise("RunningMean.add", "RunningMean.value")
def test_the_mean_of_all_figures(rng):
    figures, weights = rng.normal(size=6), rng.integers(1, 9, size=6)
    mean = RunningMean()
    for figure, weight in zip(figures, weights, strict=True):
        mean.add(figure, weight)
    expect.close("mean.value()", np.average(figures, weights=weights))


@exercise("RunningMean.value")
def test_the_mean_of_nothing():
    expect.true("math.isnan(RunningMean().value())", "the mean of nothing is NaN")
    mean = RunningMean()
    mean.total, mean.weight = 3.0, 1.5
    expect.equal("mean.value()", 2.0)
    mean.total, mean.weight = 0.0, 0.25
    expect.equal("mean.value()", 0.0)


# ---------------------------------------------------------------- Accuracy.update


def accuracy_of(*batches, **options):
    """The accuracy over batches of (output, target)."""
    accuracy = Accuracy(**options)
    for output, target in batches:
        accuracy.update(Tensor(np.asarray(output)), Tensor(np.asarray(target)), 0.5, len(target))
    return accuracy.value()


@exercise("Accuracy.update")
def test_share_of_hits(rng):
    output = rng.normal(size=(20, 3))
    target = rng.integers(0, 3, size=20)
    hits = [row[t] == max(row) for row, t in zip(output, target, strict=True)]
    want = sum(hits) / 20
    expect.close("accuracy_of((output, target))", want)


@exercise("Accuracy.update")
def test_batches_weigh_by_their_targets():
    right, wrong = [[0.0, 5.0]], [[5.0, 0.0]]
    first, second = (right * 4, [1] * 4), (wrong * 1, [1])
    expect.close("accuracy_of(first, second)", 0.8)
    expect.close("accuracy_of(second, first)", 0.8)


@exercise("Accuracy.update")
def test_positions_of_a_text(rng):
    output = rng.normal(size=(2, 5, 4))
    target = output.argmax(-1)
    target[0, 0] = (target[0, 0] + 1) % 4
    target[1, 3] = (target[1, 3] + 2) % 4
    expect.close("accuracy_of((output, target))", 0.8)


@exercise("Accuracy.update")
def test_targets_that_do_not_count():
    output = [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    expect.close("accuracy_of((output, [1, -100, 0, -100]))", 0.5)
    expect.close("accuracy_of((output, [1, 0, 7, 7]), ignore_index=7)", 1.0)
    none = (output, [-100] * 4)
    expect.close("accuracy_of((output, [1, 0, 1, 1]), none)", 0.75)
    expect.true("math.isnan(accuracy_of(none))", "without a target that counts there is no accuracy")
    expect.close("accuracy_of((output, [0, 0, 1, -100]), ignore_index=0)", 0.5)


@exercise("Accuracy.update")
def test_batches_of_one_size_in_which_different_numbers_count():
    output = [[0.0, 1.0]] * 4
    one_right, four_wrong = (output, [1, -100, -100, -100]), (output, [0, 0, 0, 0])
    expect.close("accuracy_of(one_right, four_wrong)", 0.2)
    expect.close("accuracy_of(four_wrong, one_right)", 0.2)


@exercise("Accuracy.update")
def test_outputs_may_carry_gradients():
    output = Tensor([[0.0, 1.0]], requires_grad=True) * 2.0
    accuracy = Accuracy()
    expect.value("accuracy.update(output, Tensor([1]), loss=0.0, count=1)")
    expect.close("(accuracy.mean.total, accuracy.mean.weight)", (1.0, 1.0))


# ---------------------------------------------------------------- Perplexity.value


def perplexity_of(*losses):
    """The perplexity of batches with (loss, count)."""
    metric = Perplexity()
    for loss, count in losses:
        metric.update(Tensor([0.0]), Tensor([0]), loss, count)
    return metric.value()


@exercise("Perplexity.value")
def test_how_many_tokens_it_hesitates_between():
    expect.close("perplexity_of((math.log(50), 8))", 50.0)
    expect.close("perplexity_of((0.0, 3))", 1.0)
    expect.close("perplexity_of((math.log(2), 1), (math.log(16), 2))", 8.0)


@exercise("Perplexity.value")
def test_losses_that_are_too_large_or_none():
    expect.equal("perplexity_of((1000.0, 1))", math.inf)
    expect.equal("perplexity_of((700.5, 1))", math.inf)
    expect.close("perplexity_of((700.0, 1))", 1.0142320547350045e304)
    expect.equal("perplexity_of((math.inf, 1))", math.inf)
    expect.true("math.isnan(perplexity_of())", "the perplexity of nothing is NaN")


# ---------------------------------------------------------------- evaluating


def three():
    """A model in training mode with a part that is not."""
    model = Sequential(Linear(2, 3), Sequential(ReLU(), Dropout(0.5)), Linear(3, 1)).train()
    next(iter(model.children())).eval()
    return model


def modes_during(model):
    """The modes inside of the block."""
    with evaluating(model):
        return modes(model)


def modes_after(model):
    """The modes after it."""
    with evaluating(model):
        pass
    return modes(model)


def fail_in(model):
    """An error inside of the block."""
    with evaluating(model):
        raise OSError("the disk is gone")


@exercise("evaluating")
def test_all_parts_are_in_evaluation_mode():
    model = three()
    expect.true("not any(modes_during(model))", "in the block all parts are in evaluation mode")


@exercise("evaluating")
def test_each_part_is_as_it_was():
    model = three()
    before = modes(model)
    expect.equal("modes_after(model)", before)
    model.eval()
    expect.equal("modes_after(model)", [False] * len(before))


@exercise("evaluating")
def test_after_an_error_too():
    model = three()
    before = modes(model)
    expect.raises("fail_in(model)", OSError, "disk")
    expect.equal("modes(model)", before)


# ---------------------------------------------------------------- evaluate


@exercise("evaluate")
def test_samples_weigh_the_same(rng):
    model = line()
    loader = [batch_of(rng, 5), batch_of(rng, 2), batch_of(rng, 1)]
    losses = [squares(model, batch)[0] for batch in loader]
    want = (5 * losses[0] + 2 * losses[1] + losses[2]) / 8
    expect.close("evaluate(model, loader, MSELoss())['loss']", want)
    expect.equal("sorted(evaluate(model, loader, MSELoss()))", ["loss"])


@exercise("evaluate")
def test_what_metrics_get(rng):
    model, note, other = line(), Note(), Note()
    other.name = "other"
    loader = [batch_of(rng, 3), batch_of(rng, 2)]
    losses = [round(squares(model, batch)[0], 6) for batch in loader]
    found = expect.value("evaluate(model, loader, MSELoss(), [note, other])")
    expect.equal("sorted(found)", ["loss", "note", "other"])
    expect.equal("found['note']", 42.0)
    want = ["made", "reset", ((3, 1), (3, 1), "float", losses[0], 3), ((2, 1), (2, 1), "float", losses[1], 2)]
    expect.equal("note.calls", want)
    expect.equal("other.calls", want)


@exercise("evaluate")
def test_mode_and_gradients():
    model = Modes().train()
    batch = (Tensor([[1.0]]), Tensor([[2.0]]))
    expect.close("evaluate(model, [batch], MSELoss())['loss']", 1.0)
    expect.equal("model.seen", [(False, False, False)])
    expect.equal("modes(model)", [True, True])
    expect.true("state().grad", "gradients are recorded again afterwards")


def no_loss(output, target):
    """A loss that fails."""
    raise OSError("the disk is gone")


@exercise("evaluate")
def test_mode_and_gradients_after_an_error():
    model = Modes().train()
    model.part.eval()
    batch = (Tensor([[1.0]]), Tensor([[2.0]]))
    expect.raises("evaluate(model, [batch], no_loss)", OSError, "disk")
    expect.equal("modes(model)", [True, False])
    expect.true("state().grad", "gradients are recorded again after an error")


@exercise("evaluate")
def test_several_inputs():
    from helpers import Two

    model = Two()
    batch = (Tensor(np.array([1.0, 2.0])), Tensor(np.array([10.0, 20.0])), Tensor(np.array([0.0, 1.0])))
    note = Note()
    expect.close("evaluate(model, [batch], MSELoss(), [note])['loss']", (13.0**2 + 25.0**2) / 2)
    expect.close("note.target", [0.0, 1.0])


@exercise("evaluate")
def test_nothing_to_evaluate(rng):
    model = line()
    expect.raises("evaluate(model, [], MSELoss())", DataError)
    loader = [batch_of(rng, 1)[0]]
    expect.raises("evaluate(model, loader, MSELoss())", DataError)

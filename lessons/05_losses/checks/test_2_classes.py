"""Cross-entropy of classes: labels that count, losses of rows, the whole op."""

import re

import numpy as np
import pytest

from tinytorch import Tensor
from tinytorch.errors import DataError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.softmax import CrossEntropy, counted_labels


def by_definition(logits, labels, smoothing=0.0):
    """The loss of each row in float64, by way of its softmax."""
    losses = []
    for row, label in zip(logits.astype(np.float64), labels, strict=True):
        p = np.exp(row - row.max())
        p /= p.sum()
        target = np.full(len(row), smoothing / len(row))
        target[label] += 1 - smoothing
        losses.append(-(target * np.log(p)).sum())
    return np.array(losses)


def mask(counted, labels):
    """The mask, also where None stands for one that is true throughout."""
    return np.ones(labels.shape, bool) if counted is None else counted


@exercise("counted_labels")
def test_which_labels_count():
    labels = np.array([2, -100, 0, 1, -100])
    expect.equal("counted_labels(labels, 3, -100)", np.array([True, False, True, True, False]))
    expect.equal(
        "counted_labels(labels.astype(np.int32), 3, -100)", np.array([True, False, True, True, False])
    )
    labels = np.array([2, 1, 0, 1])
    expect.equal("counted_labels(labels, 3, 1)", np.array([True, False, True, False]))
    expect.equal("counted_labels(labels, 3, 0)", np.array([True, True, False, True]))
    expect.equal("counted_labels(labels, 3, 2)", np.array([False, True, True, True]))


@exercise("counted_labels")
def test_where_all_count():
    labels = np.array([2, 1, 0, 1])
    expect.equal("mask(counted_labels(labels, 3, -100), labels)", np.ones(4, bool))
    labels = np.zeros(0, np.int64)
    expect.equal("mask(counted_labels(labels, 3, -100), labels)", np.ones(0, bool))


@exercise("counted_labels")
def test_where_none_counts():
    labels = np.array([7, 7])
    expect.equal("counted_labels(labels, 3, 7)", np.array([False, False]))
    labels = np.array([0, -100])
    expect.equal("counted_labels(labels, 1, -100)", np.array([True, False]))


@exercise("counted_labels")
def test_labels_out_of_range():
    labels = np.array([0, 3, 1])
    expect.raises("counted_labels(labels, 3, -100)", DataError, "3")
    expect.raises("counted_labels(labels, 3, 0)", DataError, "3")
    expect.equal("mask(counted_labels(labels, 4, -100), labels)", np.ones(3, bool))
    labels = np.array([-100, 1])
    expect.raises("counted_labels(labels, 3, -1)", DataError, "-100")
    labels = np.array([3, 1])
    expect.raises("counted_labels(labels, 3, 1)", DataError, "3")


def numbers_named(labels, classes, ignore_index):
    """The whole numbers in the message with which counted_labels refuses; none where it does not."""
    try:
        counted_labels(labels, classes, ignore_index)
    except DataError as error:
        return {int(number) for number in re.findall(r"(?<![\d.])-?\d+", str(error))}
    return set()


@exercise("counted_labels")
@pytest.mark.parametrize(("labels", "worst"), [([5, 0, -1, -100], -1), ([5, 0, 8, -100], 8), ([6, 9], 9)])
def test_the_error_names_the_label_and_the_classes(labels, worst):
    labels = np.array(labels, np.int32)
    expect.raises("counted_labels(labels, 3, -100)", DataError, str(worst))
    expect.true("worst in numbers_named(labels, 3, -100)", f"the message names the label {worst}")
    expect.true(
        "{3, 2, -2} & numbers_named(labels, 3, -100)", "the message names the classes: how many, or 0 to 2"
    )


@exercise("CrossEntropy.composite")
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_plain_form_lets_gradients_flow(smoothing, reduction):
    x, y = Tensor([[1.0, 2.0], [0.0, 3.0]]).requires_grad_(), Tensor([1, -100])
    expect.true(
        "CrossEntropy(smoothing, -100, reduction).composite(x, y).requires_grad",
        "only ops on tensors made the result, so that gradients can flow",
    )


@exercise("CrossEntropy.composite")
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
def test_plain_form(smoothing, reduction, rng):
    x, y = Tensor(rng.normal(size=(4, 3))), Tensor(np.array([2, 0, 1, 2]))
    rows = by_definition(x.data, y.data, smoothing)
    want = {"none": rows, "sum": rows.sum(), "mean": rows.mean()}[reduction]
    expect.close("CrossEntropy(smoothing, -100, reduction).composite(x, y)", want)


@exercise("CrossEntropy.composite")
@pytest.mark.parametrize("ignored", [-100, 1])
def test_plain_form_with_rows_that_do_not_count(ignored, rng):
    x, y = Tensor(rng.normal(size=(5, 3))), Tensor(np.array([2, ignored, 0, ignored, 2]))
    counted = np.array([1, 0, 1, 0, 1])
    rows = by_definition(x.data, y.data * counted, 0.2) * counted
    expect.close("CrossEntropy(0.2, ignored, 'none').composite(x, y)", rows)
    expect.close("CrossEntropy(0.2, ignored, 'sum').composite(x, y)", rows.sum())
    expect.close("CrossEntropy(0.2, ignored, 'mean').composite(x, y)", rows.sum() / 3)


@exercise("CrossEntropy.composite")
def test_plain_form_of_large_logits():
    x, y = Tensor([[1000.0, 0.0, -1000.0], [1000.0, 0.0, -1000.0]]), Tensor([0, 2])
    expect.close("CrossEntropy(reduction='none').composite(x, y)", [0.0, 2000.0], dtype="float32")
    expect.close("CrossEntropy(reduction='mean').composite(x, y)", 1000.0, dtype="float32")


@exercise("CrossEntropy.composite")
def test_plain_form_of_one_row_and_of_one_class():
    x, y = Tensor([[0.0, 0.0]]), Tensor([1])
    expect.close("CrossEntropy(reduction='none').composite(x, y)", np.array([np.log(2)]))
    x, y = Tensor([[3.0], [4.0]]), Tensor([0, -100])
    expect.close("CrossEntropy(reduction='none').composite(x, y)", np.zeros(2))


@exercise("CrossEntropy.row_losses")
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", [(4, 3), (1, 5), (3, 1), (0, 3)])
def test_losses_of_rows(shape, smoothing, rng):
    x, y = rng.normal(0, 3, size=shape), rng.integers(0, shape[1], size=shape[0])
    before = x.copy()
    e = np.exp(x - x.max(1, keepdims=True))
    want = by_definition(x, y, smoothing), e, e.sum(1, keepdims=True)
    expect.close("CrossEntropy(smoothing).row_losses(x, y)", want)
    expect.equal("x", before)


@exercise("CrossEntropy.row_losses")
def test_losses_of_large_logits():
    x, y = np.array([[1e4, 0, -1e4], [-5e4, -5e4, -5e4]], np.float32), np.array([2, 1])
    want = np.array([2e4, np.log(3)]), np.array([[1, 0, 0], [1, 1, 1]]), np.array([[1], [3]])
    expect.close("CrossEntropy().row_losses(x, y)", want, rtol=1e-3, atol=1e-2)
    expect.equal("[str(part.dtype) for part in CrossEntropy().row_losses(x, y)]", ["float32"] * 3)
    expect.equal("str(CrossEntropy(0.1).row_losses(x, y)[0].dtype)", "float32")


@exercise("CrossEntropy.forward")
@pytest.mark.parametrize("ignored", [-100, 1])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_whole_op(smoothing, ignored, rng):
    x, y = rng.normal(size=(5, 3)), np.array([2, ignored, 0, ignored, 2])
    given = x.copy(), y.copy()
    counted = np.array([1, 0, 1, 0, 1])
    rows = by_definition(x, y * counted, smoothing) * counted
    expect.close("CrossEntropy(smoothing, ignored, 'none').forward(x, y)[0]", rows)
    expect.close("CrossEntropy(smoothing, ignored, 'sum').forward(x, y)[0]", rows.sum())
    expect.close("CrossEntropy(smoothing, ignored, 'mean').forward(x, y)[0]", rows.sum() / 3)
    expect.equal("x", given[0])
    expect.equal("y", given[1])


@exercise("CrossEntropy.forward")
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_what_is_kept_for_backward(reduction, rng):
    x, y = rng.normal(size=(4, 3)), np.array([2, -100, 1, 0])
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    want = p - np.full((4, 3), 0.1) - 0.7 * np.eye(3)[[2, 0, 1, 0]]
    want[1] = 0
    if reduction == "mean":
        want /= 3
    expect.close("CrossEntropy(0.3, -100, reduction).forward(x, y)[1]", want)


@exercise("CrossEntropy.forward")
def test_labels_and_batches_that_are_refused():
    x = np.zeros((2, 3))
    out, ignored = np.array([0, 3]), np.array([-100, -100])
    expect.raises("CrossEntropy().forward(x, out)", DataError, "3")
    expect.raises("CrossEntropy().forward(x, ignored)", DataError)
    expect.close("CrossEntropy(reduction='sum').forward(x, ignored)", (0.0, np.zeros((2, 3))))
    expect.close("CrossEntropy(reduction='none').forward(x, ignored)[0]", np.zeros(2))


@exercise("CrossEntropy.forward")
def test_float32_and_single_rows():
    x, y = np.array([[0.0, 0.0]], np.float32), np.array([1])
    expect.close("CrossEntropy().forward(x, y)", (np.log(2), np.array([[0.5, -0.5]])))
    expect.equal("[str(part.dtype) for part in CrossEntropy(0.1).forward(x, y)]", ["float32"] * 2)
    x, y = np.array([[3.0], [4.0]]), np.array([0, -100])
    expect.close("CrossEntropy().forward(x, y)", (0.0, np.zeros((2, 1))))
    empty, none = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
    expect.close("CrossEntropy(reduction='sum').forward(empty, none)[0]", 0.0)

"""Picking rows by id, and the gradient that goes back to them."""

import numpy as np

from tinytorch.errors import ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.nn.embedding import Lookup, embedding
from tinytorch.ops.index import TakeGrad, sum_rows
from tinytorch.tensor import Tensor


@exercise("Lookup.forward")
def test_rows_by_id(rng):
    table = rng.normal(size=(5, 3)).astype(np.float32)
    ids = np.array([[4, 0, 4], [1, 1, 2]])
    want = np.stack([[table[4], table[0], table[4]], [table[1], table[1], table[2]]])
    expect.close("Lookup().forward(table, ids)", want, dtype=np.float32)


@exercise("Lookup.forward")
def test_one_id_no_ids_and_small_dtypes(rng):
    table = rng.normal(size=(4, 2))
    one, none, small = np.array(3), np.zeros((2, 0), np.int64), np.array([0, 3], np.int8)
    expect.close("Lookup().forward(table, one)", table[3])
    expect.close("Lookup().forward(table, none)", np.zeros((2, 0, 2)))
    expect.close("Lookup().forward(table, small)", table[::3])


@exercise("Lookup.forward")
def test_no_ids_from_no_rows():
    table, none = np.zeros((0, 3)), np.zeros(0, np.int64)
    expect.close("Lookup().forward(table, none)", np.zeros((0, 3)))


@exercise("Lookup.forward")
def test_negative_ids_do_not_count_from_the_end():
    table = np.ones((4, 2))
    mixed, negative = np.array([[0, 3], [-1, 2]]), np.array([-2])
    expect.raises("Lookup().forward(table, mixed)", ShapeError, "-1", "4")
    expect.raises("Lookup().forward(table, negative)", ShapeError, "-2")


@exercise("Lookup.forward")
def test_ids_without_a_row():
    table = np.ones((4, 2))
    far, next_to = np.array([1, 9, 0]), np.array([4])
    expect.raises("Lookup().forward(table, far)", ShapeError, "9", "4")
    expect.raises("Lookup().forward(table, next_to)", ShapeError, "4")


@exercise("Lookup.forward")
def test_what_comes_back_is_a_copy():
    table, ids = np.ones((3, 2)), np.array([0, 1, 2])
    expect.true("not np.shares_memory(Lookup().forward(table, ids), table)", "the rows are copies")


@exercise("sum_rows")
def test_rows_that_share_an_id_are_added():
    ids = np.array([2, 0, 2, 2])
    rows = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, 80.0]])
    want = np.array([[2.0, 20.0], [0.0, 0.0], [13.0, 130.0], [0.0, 0.0]])
    expect.close("sum_rows(ids, rows, 4)", want)
    expect.close("rows", np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, 80.0]]))
    expect.equal("ids", np.array([2, 0, 2, 2]))


@exercise("sum_rows")
def test_any_rows(rng):
    ids, rows = rng.integers(0, 6, size=20), rng.normal(size=(20, 2, 3))
    want = np.zeros((6, 2, 3))
    for i, row in zip(ids, rows, strict=True):
        want[i] += row
    expect.close("sum_rows(ids, rows, 6)", want)
    expect.close("sum_rows(ids, rows[:, 0, 0], 6)", want[:, 0, 0])
    narrow = rows.astype(np.float32)
    expect.close("sum_rows(ids, narrow, 6)", want, rtol=1e-4, atol=1e-5, dtype=np.float32)


@exercise("sum_rows")
def test_no_rows_and_one_row():
    none = np.zeros(0, np.int64)
    expect.close("sum_rows(none, np.zeros((0, 3), np.float32), 2)", np.zeros((2, 3)), dtype=np.float32)
    expect.close("sum_rows(none, np.zeros((0, 3)), 0)", np.zeros((0, 3)))
    expect.close("sum_rows(np.array([1]), np.ones((1, 3)), 2)", np.array([[0.0] * 3, [1.0] * 3]))


@exercise("sum_rows", "TakeGrad.forward")
def test_the_gradient_of_a_table(rng):
    ids, g = rng.integers(0, 5, size=(3, 4)), rng.normal(size=(3, 4, 2)).astype(np.float32)
    want = np.zeros((6, 2))
    for at in np.ndindex(3, 4):
        want[ids[at]] += g[at]
    expect.close("TakeGrad(6).forward(g, ids)", want, rtol=1e-4, atol=1e-5, dtype=np.float32)


@exercise("sum_rows", "TakeGrad.forward")
def test_ids_of_any_number_of_axes(rng):
    one, g = np.array(2), rng.normal(size=3)
    expect.close("TakeGrad(4).forward(g, one)", np.stack([np.zeros(3), np.zeros(3), g, np.zeros(3)]))
    ids, flat = np.array([1, 0, 1]), rng.normal(size=3)
    expect.close("TakeGrad(2).forward(flat, ids)", np.array([flat[1], flat[0] + flat[2]]))
    deep = rng.normal(size=(3, 2, 2))
    expect.close("TakeGrad(2).forward(deep, ids)", np.stack([deep[1], deep[0] + deep[2]]))


@exercise("sum_rows", "TakeGrad.forward")
def test_ids_from_the_end_and_no_ids(rng):
    ids, g = np.array([-1, 3, 0, -4]), rng.normal(size=(4, 2))
    want = np.stack([g[2] + g[3], np.zeros(2), np.zeros(2), g[0] + g[1]])
    expect.close("TakeGrad(4).forward(g, ids)", want)
    last, rows = np.array([-1, 0]), rng.normal(size=(2, 3))
    expect.close("TakeGrad(1).forward(rows, last)", rows.sum(0, keepdims=True))
    none, empty = np.zeros((2, 0), np.int64), np.zeros((2, 0, 3))
    expect.close("TakeGrad(2).forward(empty, none)", np.zeros((2, 3)))
    expect.close("TakeGrad(0).forward(empty, none)", np.zeros((0, 3)))


@exercise("Lookup.forward", "sum_rows", "TakeGrad.forward")
def test_backward_through_a_lookup(rng):
    weight, ids = Tensor(rng.normal(size=(4, 2)), requires_grad=True), Tensor([[1, 3, 1]])
    g = rng.normal(size=(1, 3, 2))
    (expect.value("embedding(ids, weight)") * Tensor(g)).sum().backward()
    want = np.stack([np.zeros(2), g[0, 0] + g[0, 2], np.zeros(2), g[0, 1]])
    expect.close("weight.grad", want)

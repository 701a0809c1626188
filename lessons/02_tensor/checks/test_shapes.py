"""What shapes do: broadcasting, reshape, transpose and expand."""

import numpy as np

from tinytorch import from_numpy
from tinytorch.errors import ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.shape import Expand, reshape, transpose
from tinytorch.ops.spec import broadcast

# ---------------------------------------------------------------- broadcast


@exercise("broadcast")
def test_shapes_are_lined_up_at_the_last_axis():
    expect.equal('broadcast("add", (3, 1), (4,))', (3, 4))
    expect.equal('broadcast("add", (4,), (2, 3, 4))', (2, 3, 4))
    expect.equal('broadcast("add", (2, 3, 4), (3, 1))', (2, 3, 4))
    expect.equal('broadcast("add", (5,), ())', (5,))
    expect.equal('broadcast("add", (2, 3), (2, 3))', (2, 3))


@exercise("broadcast")
def test_ones_give_way_even_to_zero():
    expect.equal('broadcast("add", (1,), (1, 1))', (1, 1))
    expect.equal('broadcast("add", (0, 3), (1, 3))', (0, 3))
    expect.equal('broadcast("add", (1,), (0,))', (0,))


@exercise("broadcast")
def test_any_number_of_shapes():
    expect.equal('broadcast("where", (4, 1, 1), (3, 1), (2,))', (4, 3, 2))
    expect.equal('broadcast("where", (7, 2))', (7, 2))
    expect.equal('broadcast("where")', ())
    expect.equal('broadcast("where", (), (), ())', ())


@exercise("broadcast")
def test_agrees_with_numpy(rng):
    full = tuple(int(n) for n in rng.integers(2, 6, size=4))
    first = tuple(1 if one else n for n, one in zip(full, rng.random(4) < 0.5, strict=True))
    second = tuple(1 if n != m else n for n, m in zip(full, first, strict=True))[1:]
    expect.equal('broadcast("mul", first, second)', np.broadcast_shapes(first, second))


@exercise("broadcast")
def test_what_does_not_fit_is_named():
    expect.raises('broadcast("add", (3, 4), (2, 4))', ShapeError, "add", "(3, 4)", "(2, 4)", "axis -2")
    expect.raises('broadcast("mul", (4, 3), (4,))', ShapeError, "mul", "(4, 3)", "(4,)", "axis -1")
    expect.raises('broadcast("mul", (3,), (0,))', ShapeError, "axis -1")
    expect.raises(
        'broadcast("where", (5, 1), (1, 2), (3, 2))', ShapeError, "(5, 1)", "(1, 2)", "(3, 2)", "-2"
    )
    expect.raises('broadcast("add", (6, 2, 3), (5, 2, 3))', ShapeError, "axis -3")


# ---------------------------------------------------------------- reshape


@exercise("reshape")
def test_the_elements_keep_their_order():
    x = from_numpy(np.arange(12.0).reshape(3, 4))
    expect.equal("reshape(x, (2, 6))", np.array([[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]], float))
    expect.equal("reshape(x, [12])", np.arange(12.0))
    expect.equal("reshape(x, (2, 3, 2)).shape", (2, 3, 2))
    across = from_numpy(np.arange(6.0).reshape(2, 3).T)
    expect.equal("reshape(across, (6,))", np.array([0, 3, 1, 4, 2, 5], float))


@exercise("reshape")
def test_one_size_is_worked_out():
    x = from_numpy(np.arange(24).reshape(2, 3, 4))
    expect.equal("reshape(x, (-1,)).shape", (24,))
    expect.equal("reshape(x, (4, -1)).shape", (4, 6))
    expect.equal("reshape(x, [-1, 3, 1]).shape", (8, 3, 1))
    expect.equal("reshape(x, (2, 1, -1, 12))", np.arange(24).reshape(2, 1, 1, 12))
    one = from_numpy(np.array(7.0))
    expect.equal("reshape(one, (1, -1))", np.array([[7.0]]))
    empty = from_numpy(np.zeros((0, 3)))
    expect.equal("reshape(empty, (-1, 2)).shape", (0, 2))


@exercise("reshape")
def test_no_copy_where_none_is_needed():
    x = from_numpy(np.arange(6.0).reshape(2, 3))
    expect.true("reshape(x, (2, 3)) is x", "a tensor that has the shape already is returned itself")
    expect.true("reshape(x, (2, -1)) is x", "a tensor that has the shape already is returned itself")
    expect.true("np.shares_memory(reshape(x, (3, 2)).data, x.data)", "reshape looks at the memory of x")


@exercise("reshape")
def test_gradients_can_flow_through_a_reshape():
    x = from_numpy(np.arange(6.0)).requires_grad_()
    expect.true("reshape(x, (3, -1)).requires_grad", "the op Reshape made the result, so that it is recorded")


@exercise("reshape")
def test_sizes_that_cannot_be():
    x, empty = from_numpy(np.arange(6.0).reshape(2, 3)), from_numpy(np.zeros((0, 3)))
    expect.raises("reshape(x, (4, 2))", ShapeError, "(2, 3)", "(4, 2)")
    expect.raises("reshape(x, (4, -1))", ShapeError, "(2, 3)", "(4, -1)")
    expect.raises("reshape(x, (-1, 2, -1))", ShapeError, "(2, 3)", "(-1, 2, -1)")
    expect.raises("reshape(x, (-1, -1))", ShapeError, "(2, 3)", "(-1, -1)")
    expect.raises("reshape(x, (-1, -1, -1))", ShapeError, "(2, 3)", "(-1, -1, -1)")
    expect.raises("reshape(x, (7, -1))", ShapeError, "(2, 3)", "(7, -1)")
    expect.raises("reshape(empty, (0, -1))", ShapeError, "(0, 3)", "(0, -1)")


# ---------------------------------------------------------------- transpose


@exercise("transpose")
def test_two_axes_change_places(rng):
    values = rng.normal(size=(2, 3, 4))
    x = from_numpy(values)
    expect.equal("transpose(x, 0, 2)", np.einsum("abc->cba", values))
    expect.equal("transpose(x, 1, 0)", np.einsum("abc->bac", values))
    expect.equal("transpose(x, -1, -2)", np.einsum("abc->acb", values))
    expect.equal("transpose(x, 0, -1)", np.einsum("abc->cba", values))
    expect.equal("transpose(x, 1, 1)", values)


@exercise("transpose")
def test_the_transpose_is_a_view():
    x = from_numpy(np.arange(6.0).reshape(2, 3))
    expect.true("np.shares_memory(transpose(x, 0, 1).data, x.data)", "no element is copied")
    expect.equal("transpose(x, 0, 1).data.strides", (8, 24))
    grown = from_numpy(np.arange(6.0).reshape(2, 3)).requires_grad_()
    expect.true(
        "transpose(grown, 0, 1).requires_grad", "the op Permute made the result, so that it is recorded"
    )


@exercise("transpose")
def test_small_and_empty_tensors():
    number, line, empty = from_numpy(np.array(3.0)), from_numpy(np.arange(3.0)), from_numpy(np.zeros((0, 5)))
    expect.equal("transpose(number, 0, -1)", np.array(3.0))
    expect.equal("transpose(line, 0, -1)", np.arange(3.0))
    expect.equal("transpose(empty, 0, 1).shape", (5, 0))


@exercise("transpose")
def test_axes_that_are_not_there():
    x, number = from_numpy(np.zeros((2, 3))), from_numpy(np.array(3.0))
    expect.raises("transpose(x, 0, 2)", ShapeError, "axis 2")
    expect.raises("transpose(x, -3, 1)", ShapeError, "axis -3")
    expect.raises("transpose(number, 0, 1)", ShapeError, "axis 1")


# ---------------------------------------------------------------- expand


@exercise("Expand.forward")
def test_axes_of_size_one_are_stretched(rng):
    a = rng.normal(size=(3, 1))
    expect.equal("Expand((3, 4)).forward(a)", np.repeat(a, 4, axis=1))
    expect.equal("Expand((2, 3, 4)).forward(a)", np.stack([np.repeat(a, 4, axis=1)] * 2))
    expect.equal("Expand((3, 1)).forward(a)", a)
    number = np.array(2.5)
    expect.equal("Expand((2, 3)).forward(number)", np.full((2, 3), 2.5))
    expect.equal("Expand((3, 0)).forward(a).shape", (3, 0))


@exercise("Expand.forward")
def test_no_memory_is_taken():
    a = np.arange(3, dtype=np.float32).reshape(3, 1)
    expect.true("np.shares_memory(Expand((3, 100)).forward(a), a)", "the result looks at the memory of a")
    expect.equal("Expand((5, 3, 100)).forward(a).strides", (0, 4, 0))


@exercise("Expand.forward")
def test_other_axes_do_not_stretch():
    a = np.zeros((2, 3))
    expect.raises("Expand((4, 3)).forward(a)", ValueError)
    expect.raises("Expand((3,)).forward(a)", ValueError)
    x = from_numpy(a)
    expect.raises("Expand((2, 6))(x)", ShapeError, "(2, 3)", "(2, 6)")

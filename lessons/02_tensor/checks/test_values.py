"""What goes into a tensor and what comes out of sums, products, reductions and picking."""

import re

import numpy as np

from tinytorch import Tensor, from_numpy
from tinytorch.errors import DTypeError, ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.ops.arithmetic import Add
from tinytorch.ops.index import Gather
from tinytorch.ops.matmul import MatMul
from tinytorch.ops.reduce import Max, Mean, Sum, var
from tinytorch.ops.spec import Spec, float32, float64, int64
from tinytorch.tensor import to_array

# ---------------------------------------------------------------- to_array


@exercise("to_array")
def test_python_numbers():
    expect.close("to_array([[1.0, 2.0], [3.0, 4.5]])", np.array([[1, 2], [3, 4.5]]), dtype=np.float32)
    expect.close("to_array([1, -2, 3])", [1, -2, 3], dtype=np.int64)
    expect.close("to_array([True, False])", [True, False], dtype=np.bool_)
    expect.close("to_array([1, 2.5])", [1, 2.5], dtype=np.float32)
    expect.close("to_array(0.25)", 0.25, dtype=np.float32)
    expect.close("to_array(7)", 7, dtype=np.int64)
    expect.close("to_array([])", np.zeros(0), dtype=np.float32)
    expect.true("type(to_array(0.25)) is np.ndarray", "a bare number gives an array too")


@exercise("to_array")
def test_numpy_keeps_its_dtype(rng):
    doubles = rng.normal(size=(2, 3))
    expect.close("to_array(doubles)", doubles, 0, 0, dtype=np.float64)
    bytes_, halves = np.array([-3, 4], np.int8), np.array([0.5, 2], np.float16)
    expect.close("to_array(bytes_)", [-3, 4], dtype=np.int8)
    expect.close("to_array(halves)", [0.5, 2], dtype=np.float16)
    expect.close("to_array(np.float64(1.5))", 1.5, dtype=np.float64)
    expect.close("to_array(np.int32(5))", 5, dtype=np.int32)


@exercise("to_array")
def test_a_dtype_wins():
    doubles, pixels = np.array([1.5, 2.5]), np.array([0, 255], np.uint8)
    expect.close('to_array([1, 2], np.dtype("float64"))', [1, 2], dtype=np.float64)
    expect.close('to_array(doubles, np.dtype("float32"))', [1.5, 2.5], dtype=np.float32)
    expect.close('to_array(pixels, np.dtype("float32"))', [0, 255], dtype=np.float32)
    expect.close('to_array([1.9, -1.9], np.dtype("int64"))', [1, -1], dtype=np.int64)
    expect.close("Tensor([1, 2], dtype='float16')", [1, 2], dtype=np.float16)


@exercise("to_array")
def test_memory_of_its_own():
    data = np.arange(4.0)
    expect.true("not np.shares_memory(to_array(data), data)", "the elements are copied")
    expect.true('not np.shares_memory(to_array(data, np.dtype("float64")), data)', "the elements are copied")
    expect.true("not np.shares_memory(Tensor(data).data, data)", "the elements are copied")


@exercise("to_array")
def test_what_is_not_numbers():
    waves, pixels, tensor = np.array([1j]), np.array([1], np.uint8), from_numpy(np.ones(2))
    expect.raises("to_array([[1.0, 2.0], [3.0]])", ShapeError)
    expect.raises('to_array(["a", "b"])', DTypeError)
    expect.raises('to_array(["1", "2"], np.dtype("float32"))', DTypeError)
    expect.raises("to_array([None])", DTypeError)
    expect.raises("to_array([2**70])", DTypeError)
    expect.raises('to_array(waves, np.dtype("float32"))', DTypeError)
    expect.raises("to_array(pixels)", DTypeError, "uint8")
    expect.raises("to_array(tensor)", DTypeError, "Tensor")
    expect.raises('to_array(tensor, np.dtype("float32"))', DTypeError, "Tensor")


# ---------------------------------------------------------------- add


@exercise("Add.forward")
def test_sums_broadcast(rng):
    a, b = rng.normal(size=(3, 1)), rng.normal(size=(2, 1, 4))
    want = np.array([[[a[i, 0] + b[k, 0, j] for j in range(4)] for i in range(3)] for k in range(2)])
    expect.close("Add().forward(a, b)", want, 1e-12, 1e-12)
    zero, row = np.zeros((0, 4)), np.ones(4)
    expect.close("Add().forward(zero, row)", np.zeros((0, 4)))


@exercise("Add.forward")
def test_the_dtype_stays_and_so_do_the_inputs():
    a, b = np.array([1, -2, 2**40]), np.array([[10], [20]])
    before = a.copy(), b.copy()
    expect.close(
        "Add().forward(a, b)", np.array([[11, 8, 2**40 + 10], [21, 18, 2**40 + 20]]), 0, 0, dtype=np.int64
    )
    expect.true(
        "(a == before[0]).all() and (b == before[1]).all()", "Add().forward(a, b) leaves a and b alone"
    )
    c, d = np.ones(3, np.float32), np.zeros(3, np.float32)
    expect.close("Add().forward(c, d)", [1, 1, 1], dtype=np.float32)
    expect.true("not np.shares_memory(Add().forward(c, d), c)", "the result has memory of its own")
    expect.true("(c == 1).all() and (d == 0).all()", "Add().forward(c, d) leaves c and d alone")


@exercise("to_array", "Add.forward")
def test_tensors_add():
    expect.close(
        "Tensor([1.0, 2.0]) + Tensor([[10.0], [20.0]])", np.array([[11, 12], [21, 22]]), dtype=np.float32
    )
    expect.close("1 + Tensor([1.5, 2.0])", [2.5, 3], dtype=np.float32)


# ---------------------------------------------------------------- matmul


@exercise("broadcast", "MatMul.infer")
def test_the_spec_of_a_product():
    expect.equal("MatMul().infer(Spec((3, 4), float32), Spec((4, 5), float32))", Spec((3, 5), float32))
    expect.equal("MatMul().infer(Spec((2, 3, 4), float64), Spec((4, 5), float64))", Spec((2, 3, 5), float64))
    expect.equal("MatMul().infer(Spec((4, 1), float32), Spec((7, 1, 6), float32))", Spec((7, 4, 6), float32))
    expect.equal(
        "MatMul().infer(Spec((2, 1, 3, 4), float32), Spec((5, 4, 6), float32))", Spec((2, 5, 3, 6), float32)
    )
    expect.equal("MatMul().infer(Spec((3, 0), float32), Spec((0, 5), float32))", Spec((3, 5), float32))


def sizes_beside_shapes(a, b):
    """The numbers that stand in MatMul.infer's refusal beside the two shapes."""
    try:
        MatMul().infer(a, b)
    except ShapeError as error:
        rest = str(error).replace(str(a.shape), "").replace(str(b.shape), "")
        return {int(number) for number in re.findall(r"\d+", rest)}
    return set()


@exercise("MatMul.infer")
def test_both_inner_sizes_are_named():
    expect.true(
        "sizes_beside_shapes(Spec((32, 784), float32), Spec((10, 784), float32)) >= {784, 10}",
        "the message names the inner sizes 784 and 10 beside the shapes",
    )
    expect.true(
        "sizes_beside_shapes(Spec((9, 32), float32), Spec((8, 10), float32)) >= {32, 8}",
        "the message names the inner sizes 32 and 8 beside the shapes",
    )


@exercise("MatMul.infer")
def test_inner_sizes_that_differ():
    expect.raises(
        "MatMul().infer(Spec((32, 784), float32), Spec((10, 784), float32))",
        ShapeError,
        "matmul", "(32, 784)", "(10, 784)", "Did you mean w.mT?",
    )  # fmt: skip
    expect.raises(
        "MatMul().infer(Spec((9, 32), float32), Spec((9, 10), float32))",
        ShapeError,
        "(9, 32)", "(9, 10)", "Did you mean a.mT @ b?",
    )  # fmt: skip
    expect.raises(
        "MatMul().infer(Spec((2, 3, 5), float32), Spec((2, 4, 5), float32))", ShapeError, "Did you mean w.mT?"
    )
    expect.raises(
        "MatMul().infer(Spec((2, 4, 3), float32), Spec((2, 4, 5), float32))",
        ShapeError,
        "Did you mean a.mT @ b?",
    )
    expect.raises(
        "MatMul().infer(Spec((3, 5), float32), Spec((3, 5), float32))", ShapeError, "Did you mean w.mT?"
    )
    expect.raises(
        "MatMul().infer(Spec((2, 3), float32), Spec((4, 5), float32))", ShapeError, "(2, 3)", "(4, 5)"
    )


@exercise("MatMul.infer")
def test_a_cure_only_where_it_cures():
    a, b = from_numpy(np.zeros((2, 3))), from_numpy(np.zeros((4, 5)))
    try:
        expect.value("MatMul().infer(a, b)")
    except expect.Raised as raised:
        message = str(raised.__cause__)
        expect.true(
            '"Did you mean" not in message', "no transpose would make (2, 3) @ (4, 5) fit, so none is named"
        )
    else:
        expect.raises("MatMul().infer(a, b)", ShapeError)


@exercise("MatMul.infer")
def test_too_few_axes_and_wrong_dtypes():
    expect.raises("MatMul().infer(Spec((3,), float32), Spec((3, 2), float32))", ShapeError, "(3,)", "(3, 2)")
    expect.raises("MatMul().infer(Spec((2, 3), float32), Spec((3,), float32))", ShapeError, "(2, 3)", "(3,)")
    expect.raises("MatMul().infer(Spec((2, 3), int64), Spec((3, 2), int64))", DTypeError, "matmul", "int64")
    expect.raises(
        "MatMul().infer(Spec((2, 3), float32), Spec((3, 2), float64))", DTypeError, "matmul", "float64"
    )
    expect.raises(
        "MatMul().infer(Spec((2, 3, 4), float32), Spec((3, 4, 5), float32))",
        ShapeError,
        "matmul",
        "(2,)",
        "(3,)",
    )


@exercise("MatMul.forward")
def test_a_product_by_hand(rng):
    a, b = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [10.0, 100.0]])
    expect.close("MatMul().forward(a, b)", np.array([[31, 302], [64, 605]]))
    c, d = rng.normal(size=(3, 4)), rng.normal(size=(4, 5))
    want = np.array([[sum(c[i, k] * d[k, j] for k in range(4)) for j in range(5)] for i in range(3)])
    expect.close("MatMul().forward(c, d)", want, 1e-9, 1e-9)
    square = rng.normal(size=(4, 4))
    want = np.array([[sum(c[i, k] * square[k, j] for k in range(4)) for j in range(4)] for i in range(3)])
    expect.close("MatMul().forward(c, square)", want, 1e-9, 1e-9)


@exercise("MatMul.forward")
def test_leading_axes_broadcast(rng):
    a, b = rng.normal(size=(2, 1, 3, 4)), rng.normal(size=(5, 4, 2))
    want = np.array([[(a[i, 0][:, :, None] * b[j][None]).sum(1) for j in range(5)] for i in range(2)])
    expect.close("MatMul().forward(a, b)", want, 1e-9, 1e-9)
    m = rng.normal(size=(4, 6))
    want = np.array([(a[i, 0][:, :, None] * m[None]).sum(1) for i in range(2)])
    expect.close("MatMul().forward(a[:, 0], m)", want, 1e-9, 1e-9)


@exercise("MatMul.forward")
def test_dtypes_and_empty_sizes(rng):
    a, b = rng.normal(size=(5, 7)).astype(np.float32), rng.normal(size=(7, 3)).astype(np.float32)
    want = (a.astype(np.float64)[:, :, None] * b.astype(np.float64)[None]).sum(1)
    before = a.copy()
    expect.close("MatMul().forward(a, b)", want, 1e-4, 1e-5, dtype=np.float32)
    expect.true("(a == before).all()", "MatMul().forward(a, b) leaves a alone")
    none, wide = np.ones((3, 0)), np.ones((0, 5))
    expect.close("MatMul().forward(none, wide)", np.zeros((3, 5)))
    expect.close("MatMul().forward(wide, b.astype(np.float64)[:5])", np.zeros((0, 3)))


# ---------------------------------------------------------------- reductions


@exercise("Reduction.reduced_shape")
def test_reduced_axes_vanish_or_become_one():
    expect.equal("Sum((1,)).reduced_shape((2, 3, 4), False)", (2, 4))
    expect.equal("Sum((1,)).reduced_shape((2, 3, 4), True)", (2, 1, 4))
    expect.equal("Sum((0, 2)).reduced_shape((2, 3, 4), keepdims=False)", (3,))
    expect.equal("Max((0, 2)).reduced_shape((2, 3, 4), keepdims=True)", (1, 3, 1))
    expect.equal("Sum((0, 1)).reduced_shape((5, 6), False)", ())
    expect.equal("Sum(()).reduced_shape((5, 6), False)", (5, 6))
    expect.equal("Sum(()).reduced_shape((5, 6), True)", (5, 6))
    expect.equal("Sum((0,)).reduced_shape((3, 0), False)", (0,))
    expect.equal("Sum(()).reduced_shape((), True)", ())


@exercise("Reduction.reduced_shape")
def test_the_argument_counts_not_the_field():
    expect.equal("Sum((0,), True).reduced_shape((2, 3), False)", (3,))
    expect.equal("Sum((0,), False).reduced_shape((2, 3), True)", (1, 3))


@exercise("Reduction.reduced_shape", "Mean.forward")
def test_means_over_axes(rng):
    a = rng.normal(size=(2, 3, 4))
    expect.close("Mean((1,)).forward(a)", (a[:, 0] + a[:, 1] + a[:, 2]) / 3, 1e-9, 1e-9)
    expect.close("Mean((0, 2)).forward(a)", np.einsum("abc->b", a) / 8, 1e-9, 1e-9)
    expect.close("Mean((2,), True).forward(a)", (np.einsum("abc->ab", a) / 4)[:, :, None], 1e-9, 1e-9)
    expect.close("Mean((0, 1, 2)).forward(a)", np.einsum("abc->", a) / 24, 1e-9, 1e-9)
    expect.close(
        "Mean((0, 1, 2), keepdims=True).forward(a)",
        np.full((1, 1, 1), np.einsum("abc->", a) / 24),
        1e-9,
        1e-9,
    )


@exercise("Mean.forward")
def test_no_axes_and_no_elements():
    a, empty, number = np.array([[1.0, 5.0]]), np.zeros((3, 0)), np.array(4.0)
    expect.close("Mean(()).forward(a)", a)
    expect.close("Mean(()).forward(number)", 4.0)
    expect.close("Mean((1,)).forward(empty)", [np.nan] * 3)
    expect.close("Mean((0, 1), True).forward(empty)", np.array([[np.nan]]))
    expect.close("Mean((0,)).forward(empty)", np.zeros(0))


@exercise("Mean.forward")
def test_the_mean_keeps_the_dtype():
    a = np.array([[1.0, 2.0], [4.0, 8.0]], np.float32)
    expect.close("Mean((0,)).forward(a)", [2.5, 5], dtype=np.float32)
    expect.close("Mean((0, 1)).forward(a)", 3.75, dtype=np.float32)
    halves = a.astype(np.float16)
    expect.close("Mean((1,)).forward(halves)", [1.5, 6], dtype=np.float16)
    expect.true("(a == [[1, 2], [4, 8]]).all()", "Mean((0,)).forward(a) leaves a alone")


@exercise("Reduction.reduced_shape", "Mean.forward", "var")
def test_variance_by_hand(rng):
    x = from_numpy(np.array([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]))
    expect.close("var(x, correction=0)", 4.0)
    expect.close("var(x)", 32 / 7)
    expect.close("var(x, correction=3)", 32 / 5)
    values = rng.normal(size=(3, 4, 5))
    y = from_numpy(values)
    want = sum((values[:, j] - values.sum(1) / 4) ** 2 for j in range(4)) / 3
    expect.close("var(y, 1)", want, 1e-9, 1e-9)
    expect.close("var(y, axis=-2, keepdims=True)", want[:, None, :], 1e-9, 1e-9)


@exercise("var")
def test_variance_over_several_axes(rng):
    values = rng.normal(size=(3, 4, 5))
    x = from_numpy(values)
    apart = values - np.einsum("abc->b", values)[:, None] / 15
    expect.close("var(x, (2, 0))", np.einsum("abc->b", apart**2) / 14, 1e-9, 1e-9)
    expect.close("var(x, (0, 2), True, 0)", np.einsum("abc->b", apart**2)[None, :, None] / 15, 1e-9, 1e-9)
    everything = values - np.einsum("abc->", values) / 60
    expect.close("var(x)", (everything**2).sum() / 59, 1e-9, 1e-9)


@exercise("var")
def test_a_large_mean_costs_no_digits(rng):
    values = (10_000 + rng.normal(size=400)).astype(np.float32)
    x = from_numpy(values)
    exact = values.astype(np.float64)
    want = ((exact - exact.sum() / 400) ** 2).sum() / 399
    expect.close("var(x)", want, rtol=1e-3, dtype=np.float32)


@exercise("var")
def test_too_few_elements_for_a_variance():
    one, two = from_numpy(np.array([3.0])), from_numpy(np.array([[3.0, 4.0]]))
    expect.close("var(one)", np.nan)
    expect.close("var(one, correction=0)", 0.0)
    expect.close("var(two, axis=0)", [np.nan, np.nan])
    expect.close("var(two, 1, correction=2)", [np.nan])
    expect.close("var(two, 1, correction=3)", [np.nan])
    expect.close("var(two, 1)", [0.5])


@exercise("var")
def test_variance_is_recorded_and_refuses_wrong_axes():
    x = from_numpy(np.array([[1.0, 3.0]])).requires_grad_()
    expect.true("var(x, 1).requires_grad", "only ops computed the result, so that gradients can flow")
    expect.raises("var(x, (0, -2))", ShapeError, "var")
    expect.raises("var(x, 2)", ShapeError, "var", "2")


# ---------------------------------------------------------------- gather


@exercise("Gather.forward")
def test_one_element_for_each_id(rng):
    a = rng.normal(size=(3, 4))
    ids = rng.integers(0, 4, size=(3, 2))
    expect.equal(
        "Gather(1).forward(a, ids)", np.array([[a[i, ids[i, j]] for j in range(2)] for i in range(3)])
    )
    rows = rng.integers(0, 3, size=(5, 4))
    expect.equal(
        "Gather(0).forward(a, rows)", np.array([[a[rows[i, j], j] for j in range(4)] for i in range(5)])
    )


@exercise("Gather.forward")
def test_any_axis_of_three(rng):
    a, ids = rng.normal(size=(2, 5, 3)).astype(np.float32), rng.integers(0, 5, size=(2, 4, 3))
    want = np.empty((2, 4, 3), np.float32)
    for i, j, k in np.ndindex(want.shape):
        want[i, j, k] = a[i, ids[i, j, k], k]
    expect.close("Gather(1).forward(a, ids)", want, 0, 0, dtype=np.float32)
    last = rng.integers(0, 3, size=(2, 5, 1))
    want = np.array([[[a[i, j, last[i, j, 0]]] for j in range(5)] for i in range(2)])
    expect.equal("Gather(2).forward(a, last)", want)


@exercise("Gather.forward")
def test_ids_from_the_end_and_none_at_all():
    a, ids = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[-1], [-3]])
    expect.close("Gather(1).forward(a, ids)", np.array([[3], [4]]), 0, 0, dtype=np.int64)
    none, line, twice = np.zeros((2, 0), np.int64), np.array([1.5, 2.5]), np.array([1, 1, 0])
    expect.close("Gather(1).forward(a, none)", np.zeros((2, 0)), dtype=np.int64)
    expect.close("Gather(0).forward(line, twice)", [2.5, 2.5, 1.5])


@exercise("Gather.forward")
def test_ids_that_do_not_fit():
    a, high, low = np.zeros((2, 3)), np.array([[0], [3]]), np.array([[-4], [0]])
    expect.raises("Gather(1).forward(a, high)", ShapeError, "gather", "axis 1", "size 3", "0 to 3")
    expect.raises("Gather(1).forward(a, low)", ShapeError, "gather", "axis 1", "size 3", "-4 to 0")
    rows = np.array([[2, 0, 0]])
    expect.raises("Gather(0).forward(a, rows)", ShapeError, "axis 0", "size 2")

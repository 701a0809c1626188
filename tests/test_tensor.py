"""The Tensor: what it is made of, how it computes beside NumPy, what it shows and what it refuses."""

from __future__ import annotations

import copy
import operator
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinytorch.autograd import grad, no_grad
from tinytorch.errors import DTypeError, GradientError, ShapeError
from tinytorch.ops.arithmetic import maximum, minimum
from tinytorch.ops.context import observe, state
from tinytorch.ops.shape import concat, stack
from tinytorch.ops.spec import DTYPES
from tinytorch.tensor import Tensor, arange, from_numpy, full, ones, ones_like, zeros, zeros_like

NAMES = [str(dtype) for dtype in DTYPES]
WIDTH = {"bool": 0, "int8": 1, "int32": 2, "int64": 3, "float16": 4, "float32": 5, "float64": 6}
"""PyTorch's order of promotion: any integer gives way to any float, the wider of a kind wins."""


def numbers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape)


class Watcher:
    """Notes what runs and what leaves."""

    def __init__(self) -> None:
        self.exits: list[str] = []
        self.ops: list[str] = []

    def on_op(self, event: Any) -> None:
        self.ops.append(event.op.name)

    def on_exit(self, tensor: Tensor, how: str) -> None:
        self.exits.append(how)


# ---------------------------------------------------------------- construction


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        (2, "int64"),
        (True, "bool"),
        ([1, 2], "int64"),
        ([1, 2.5], "float32"),
        ([True, False], "bool"),
        ([], "float32"),
        ([[1.0], [2.0]], "float32"),
        (np.float64(1.0), "float64"),
        (range(3), "int64"),
        *((np.zeros(2, name), name) for name in NAMES),
    ],
)
def test_dtype_of_what_it_is_made_from(data: Any, dtype: str) -> None:
    assert Tensor(data).dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_dtype_asked_for(name: str) -> None:
    assert Tensor([0, 1], name).dtype == np.dtype(name)
    assert Tensor(np.array([0.0, 1.0]), np.dtype(name)).tolist() == np.array([0, 1], name).tolist()
    assert zeros(2, dtype=name).dtype is np.dtype(name), "one instance a dtype, so that `is` compares them"


def test_data_is_copied_and_from_numpy_shares() -> None:
    array = np.ones(3, np.float32)
    copied, shared = Tensor(array), from_numpy(array)
    array[0] = 5
    assert copied.tolist() == [1, 1, 1]
    assert shared.tolist() == [5, 1, 1]


@pytest.mark.parametrize("data", ["text", ["a", "b"], None, [None], 1j, [1, 1j], object(), {"a": 1}, [2**70]])
def test_what_is_no_number_is_refused(data: Any) -> None:
    with pytest.raises(DTypeError):
        Tensor(data)


@pytest.mark.parametrize("data", ["1", ["1.5"], [1j]])
def test_no_dtype_makes_text_or_complex_numbers_fit(data: Any) -> None:
    with pytest.raises(DTypeError):
        Tensor(data, "float32")


@pytest.mark.parametrize("dtype", ["uint8", "complex64", "datetime64[s]", "nonsense", ">f4", "float128"])
def test_foreign_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(DTypeError):
        Tensor([1.0], dtype)


def test_foreign_arrays_are_refused() -> None:
    for array in (np.zeros(2, np.uint8), np.zeros(2, ">f4"), np.zeros(2, complex), np.array(["a"])):
        with pytest.raises(DTypeError):
            Tensor(array)
        with pytest.raises(DTypeError):
            from_numpy(array)


def test_ragged_lists_are_refused() -> None:
    with pytest.raises(ShapeError, match="ragged"):
        Tensor([[1.0, 2.0], [3.0]])


def test_a_tensor_is_not_made_from_a_tensor() -> None:
    with pytest.raises(DTypeError, match="clone"):
        Tensor(Tensor([1.0]))


@pytest.mark.parametrize("name", ["bool", "int8", "int64"])
def test_only_floats_have_gradients(name: str) -> None:
    with pytest.raises(DTypeError):
        Tensor([0, 1], name, requires_grad=True)


def test_tensors_out_of_nothing() -> None:
    assert zeros(2, 3).shape == zeros((2, 3)).shape == zeros([2, 3]).shape == (2, 3)
    assert zeros(np.int64(3)).shape == (3,)
    assert zeros().shape == ()
    assert ones(2, dtype="int8").tolist() == [1, 1]
    assert full((2,), 7.0).tolist() == [7, 7]
    assert full((2,), 7.0).dtype == "float32"
    assert (arange(3).dtype, arange(3.0).dtype, arange(0, 1, 0.5).dtype) == ("int64", "float32", "float32")
    assert arange(1, 7, 2).tolist() == [1, 3, 5]
    assert arange(3, 0, -1).tolist() == [3, 2, 1]
    like = Tensor(np.zeros((2, 3), np.float64))
    assert (zeros_like(like).dtype, ones_like(like).shape) == ("float64", (2, 3))


def test_properties() -> None:
    x = Tensor(np.zeros((2, 3), np.float64))
    assert (x.ndim, x.size, x.nbytes, len(x), x.is_leaf) == (2, 6, 48, 2, True)
    assert [row.shape for row in x] == [(3,), (3,)]


# ---------------------------------------------------------------- arithmetic

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARE = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@pytest.mark.parametrize("scalar", [2, 2.5, True, np.float64(1.5), np.float32(1.5), np.array(3.0)])
@pytest.mark.parametrize("op", BINARY + COMPARE, ids=lambda op: op.__name__)
def test_scalars_on_either_side(op: Callable[..., Any], scalar: Any) -> None:
    values = np.array([[0.5, 2.5], [1.5, 3.0]])
    x = Tensor(values)
    np.testing.assert_allclose(op(x, scalar).data, op(values, float(scalar)), rtol=1e-15)
    np.testing.assert_allclose(op(scalar, x).data, op(float(scalar), values), rtol=1e-15)


@pytest.mark.parametrize("a", NAMES)
@pytest.mark.parametrize("b", NAMES)
def test_promotion_of_two_tensors(a: str, b: str) -> None:
    x, y = Tensor([1, 1], a), Tensor([1, 1], b)
    expected = max(a, b, key=WIDTH.__getitem__)
    for op in (operator.add, operator.mul):
        out = op(x, y)
        assert out.dtype == expected
        assert out.tolist() == ([True, True] if expected == "bool" else [op(1, 1)] * 2)
    assert (x == y).dtype == bool
    divided = (x / y).dtype
    assert divided == (expected if "float" in expected else "float32")


@pytest.mark.parametrize("name", NAMES)
def test_promotion_with_python_numbers(name: str) -> None:
    x = Tensor([1, 1], name)
    whole, real = ("int64" if name == "bool" else name), (name if "float" in name else "float32")
    assert ((x + 1).dtype, (1 + x).dtype) == (whole, whole)
    assert ((x * 1.5).dtype, (1.5 * x).dtype, (x / 2).dtype) == (real, real, real)
    assert ((x + True).dtype) == name


def test_integers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DTypeError, match="300"):
        Tensor([1], "int8") + 300
    with pytest.raises(DTypeError):
        Tensor([1]) * 2**70


@pytest.mark.parametrize("op", [operator.neg, Tensor.sign, lambda x: x - x, lambda x: x**x])
def test_bools_do_no_arithmetic(op: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(DTypeError):
        op(Tensor([True, False]))


def test_integer_arithmetic() -> None:
    x = Tensor([3, -2])
    assert (x**2).tolist() == [9, 4]
    assert (2 ** Tensor([3])).tolist() == [8]
    assert abs(x).tolist() == [3, 2]
    assert x.relu().tolist() == [3, 0]
    assert (~Tensor([True, False])).tolist() == [False, True]
    assert (Tensor([6]) & Tensor([3])).tolist() == [2]
    assert (Tensor([6]) | Tensor([3])).tolist() == [7]
    with pytest.raises(DTypeError):
        Tensor([2]) ** -1
    with pytest.raises(DTypeError):
        ~Tensor([1.0])
    with pytest.raises(DTypeError):
        Tensor([1.0]) & Tensor([True])


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "sigmoid", "erf"])
def test_functions_of_integers_are_float32_and_float16_stays(name: str) -> None:
    assert getattr(Tensor([1, 2]), name)().dtype == "float32"
    half = getattr(Tensor([0.5], "float16"), name)()
    assert half.dtype == "float16"
    np.testing.assert_allclose(half.data, getattr(Tensor([0.5], "float64"), name)().data, rtol=1e-3)


def test_clip() -> None:
    x = Tensor([-2.0, 0.25, 3.0])
    assert x.clip(-1, 1).tolist() == [-1, 0.25, 1]
    assert x.clip(low=0).tolist() == [0, 0.25, 3]
    assert x.clip(high=0).tolist() == [-2, 0, 0]
    assert Tensor([0, 5]).clip(1, 3).tolist() == [1, 3]
    assert Tensor([0, 5], "int8").clip(-1000, 3).tolist() == [0, 3]
    assert Tensor([0, 5]).clip(0.5).tolist() == [0.5, 5.0], (
        "a bound between integers makes floats, as in PyTorch"
    )


shapes_of_two = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4, min_side=0)


@given(shapes_of_two)
def test_broadcasting_as_numpy(found: Any) -> None:
    a, b = (numbers(shape, seed) for seed, shape in enumerate(found.input_shapes))
    for ours, theirs in ((operator.mul, np.multiply), (maximum, np.maximum), (minimum, np.minimum)):
        out = ours(Tensor(a), Tensor(b))
        assert out.shape == found.result_shape
        np.testing.assert_array_equal(out.data, theirs(a, b))


@given(shapes_of_two)
def test_gradients_are_summed_back_over_broadcast_axes(found: Any) -> None:
    a, b = (Tensor(numbers(shape, seed), requires_grad=True) for seed, shape in enumerate(found.input_shapes))
    g = numbers(found.result_shape, 9)
    da, db = grad(a * b, [a, b], Tensor(g))
    assert da is not None
    assert db is not None
    for got, other, like in ((da, b, a), (db, a, b)):
        whole = np.broadcast_to(g * other.data, found.result_shape)
        lead = whole.ndim - like.ndim
        expected = whole.sum(tuple(range(lead)))
        ones_ = tuple(i for i, n in enumerate(like.shape) if n == 1)
        np.testing.assert_allclose(got.data, expected.sum(ones_, keepdims=True), atol=1e-12)


@given(st.lists(st.integers(0, 4), max_size=4), st.lists(st.integers(0, 4), max_size=4))
def test_shapes_that_numpy_does_not_broadcast_are_refused(a: list[int], b: list[int]) -> None:
    try:
        expected = np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        with pytest.raises(ShapeError, match="broadcast"):
            zeros(a) + zeros(b)
    else:
        assert (zeros(a) + zeros(b)).shape == expected


# ---------------------------------------------------------------- reductions and products


@given(hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4), st.data())
def test_reductions_over_any_axes_as_numpy(shape: tuple[int, ...], data: st.DataObject) -> None:
    values = numbers(shape)
    axes = (
        st.lists(st.integers(-len(shape), len(shape) - 1), unique_by=lambda i: i % len(shape))
        if shape
        else st.just([])
    )
    axis = data.draw(
        st.one_of(st.none(), axes.map(tuple), *([st.integers(-len(shape), len(shape) - 1)] if shape else []))
    )
    keep = data.draw(st.booleans())
    for name in ("sum", "mean", "max", "min"):
        ours = getattr(Tensor(values), name)(axis, keep)
        np.testing.assert_allclose(ours.data, getattr(np, name)(values, axis, keepdims=keep), atol=1e-12)
    np.testing.assert_allclose(
        Tensor(values).var(axis, keep, correction=0).data, values.var(axis, keepdims=keep), atol=1e-12
    )


def test_var_is_unbiased_unless_told() -> None:
    values = numbers((3, 5))
    np.testing.assert_allclose(Tensor(values).var(1).data, values.var(1, ddof=1))
    assert np.isnan(Tensor([1.0]).var().item())


@given(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), st.booleans(), st.data())
def test_argmax_as_numpy(shape: tuple[int, ...], keep: bool, data: st.DataObject) -> None:
    values = np.random.default_rng(0).integers(0, 3, shape)
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    found = Tensor(values).argmax(axis, keep)
    np.testing.assert_array_equal(found.data, values.argmax(axis, keepdims=keep))
    assert found.dtype == "int64"


def test_reductions_of_nothing_and_of_one_number() -> None:
    assert zeros(0).sum().item() == 0
    assert np.isnan(zeros(0).mean().item())
    assert zeros(0, 3).sum(0).tolist() == [0, 0, 0]
    assert Tensor(2.0).sum(-1).item() == Tensor(2.0).max(0).item() == 2
    assert Tensor(2.0).argmax().item() == Tensor(2.0).argmax(0).item() == 0
    for name in ("max", "min", "argmax"):
        with pytest.raises(ShapeError):
            getattr(zeros(0), name)()
    assert Tensor([True, True]).sum().item() == 2
    assert Tensor([100, 100], "int8").sum().item() == 200


@pytest.mark.parametrize("axis", [1, -2, 5, (0, 0), (0, -1)])
def test_axes_that_do_not_exist_or_repeat_are_refused(axis: Any) -> None:
    for x in (zeros(3), Tensor(1.0)):
        with pytest.raises(ShapeError):
            x.sum(axis)


@given(
    hnp.mutually_broadcastable_shapes(signature="(n?,k),(k,m?)->(n?,m?)", max_dims=2, max_side=3, min_side=0)
)
def test_matmul_of_any_rank_as_numpy(found: Any) -> None:
    a, b = (numbers(shape, seed) for seed, shape in enumerate(found.input_shapes))
    out = Tensor(a) @ Tensor(b)
    assert out.shape == found.result_shape
    np.testing.assert_allclose(out.data, a @ b, atol=1e-12)
    np.testing.assert_allclose((a @ Tensor(b)).data, a @ b, atol=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "hint"),
    [((32, 784), (10, 784), "w.mT"), ((5, 3), (5, 2), "a.mT"), ((2, 3), (4,), ""), ((), (2,), "[*]")],
)
def test_matmul_of_shapes_that_do_not_fit(a: tuple[int, ...], b: tuple[int, ...], hint: str) -> None:
    with pytest.raises(ShapeError, match=f"matmul.*{hint}"):
        zeros(a) @ zeros(b)


# ---------------------------------------------------------------- indexing


@given(hnp.array_shapes(min_dims=1, max_dims=3, max_side=5), st.data())
def test_basic_indexing_as_numpy(shape: tuple[int, ...], data: st.DataObject) -> None:
    values = numbers(shape)
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=6))
    x = Tensor(values, requires_grad=True)
    out = x[key]
    np.testing.assert_array_equal(out.data, values[key])
    g = numbers(out.shape, 1)
    expected = np.zeros(shape)
    expected[key] = g
    (found,) = grad(out, [x], Tensor(g))
    assert found is not None
    np.testing.assert_array_equal(found.data, expected)


@given(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), st.data())
def test_indexing_with_integer_arrays_as_numpy(shape: tuple[int, ...], data: st.DataObject) -> None:
    values = numbers(shape)
    result = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
    key = data.draw(hnp.integer_array_indices(shape, result_shape=result))
    key = key[: data.draw(st.integers(1, len(key)))]
    x = Tensor(values, requires_grad=True)
    ours = tuple(Tensor(k) if data.draw(st.booleans()) else k for k in key)
    out = x[ours if len(ours) > 1 else ours[0]]
    np.testing.assert_array_equal(out.data, values[key])
    g = numbers(out.shape, 1)
    expected = np.zeros(shape)
    np.add.at(expected, key, g)
    (found,) = grad(out, [x], Tensor(g))
    assert found is not None
    np.testing.assert_allclose(found.data, expected, atol=1e-12)


@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), st.data())
def test_indexing_with_masks_as_numpy(shape: tuple[int, ...], data: st.DataObject) -> None:
    values = numbers(shape)
    axes = data.draw(st.integers(1, len(shape)))
    mask = data.draw(hnp.arrays(bool, shape[:axes]))
    x = Tensor(values, requires_grad=True)
    out = x[Tensor(mask)]
    np.testing.assert_array_equal(out.data, values[mask])
    (found,) = grad(out, [x], ones_like(out))
    assert found is not None
    expected = np.zeros(shape)
    expected[mask] = 1
    np.testing.assert_array_equal(found.data, expected)


def test_indexing_with_lists_mixed_keys_and_tensors_of_no_axes() -> None:
    values = numbers((3, 4, 2))
    x = Tensor(values)
    np.testing.assert_array_equal(x[[2, 0]].data, values[[2, 0]])
    np.testing.assert_array_equal(x[[]].data, values[[]])
    np.testing.assert_array_equal(x[:, [1, 1], None].data, values[:, [1, 1], None])
    np.testing.assert_array_equal(x[..., np.int64(1)].data, values[..., 1])
    np.testing.assert_array_equal(x[Tensor(2)].data, values[2])
    np.testing.assert_array_equal(x[x > 0].data, values[values > 0])


@pytest.mark.parametrize("key", [3, -4, (0, 4), (0, 0, 0), [3], [[0, -4]], (slice(None), [4]), [True, False]])
def test_indices_outside_are_refused(key: Any) -> None:
    with pytest.raises(ShapeError):
        zeros(3, 4)[key]


@pytest.mark.parametrize("key", [1.0, "a", [0.5], np.array([1.0])])
def test_indices_that_are_no_integers_are_refused(key: Any) -> None:
    with pytest.raises(DTypeError):
        zeros(3)[key]


def test_gather_as_numpy() -> None:
    values, ids = numbers((3, 4)), np.array([[0, 0, -1], [1, 3, 2], [2, 2, 2]])
    np.testing.assert_array_equal(
        Tensor(values).gather(1, Tensor(ids)).data, np.take_along_axis(values, ids, 1)
    )
    with pytest.raises(ShapeError):
        zeros(3, 4).gather(1, Tensor(np.array([[4], [0], [0]])))
    with pytest.raises(ShapeError):
        Tensor(1.0).gather(0, Tensor(0))
    with pytest.raises(DTypeError):
        zeros(3).gather(0, Tensor([0.0]))


# ---------------------------------------------------------------- layout


def test_shape_functions_as_numpy() -> None:
    values = numbers((2, 3, 4))
    x = Tensor(values)
    pairs = [
        (x.reshape(6, 4), values.reshape(6, 4)),
        (x.reshape((4, -1)), values.reshape(4, -1)),
        (x.reshape(np.int64(24)), values.reshape(24)),
        (x.permute(2, 0, 1), values.transpose(2, 0, 1)),
        (x.permute((-1, 0, 1)), values.transpose(2, 0, 1)),
        (x.transpose(0, -1), values.swapaxes(0, -1)),
        (x.mT, values.swapaxes(1, 2)),
        (x[0].T, values[0].T),
        (x.unsqueeze(1), values[:, None]),
        (x.unsqueeze(-1), values[..., None]),
        (x.unsqueeze(1).squeeze(1), values),
        (x.unsqueeze(0).unsqueeze(-1).squeeze(), values),
        (x.unsqueeze(0).unsqueeze(-1).squeeze((0, -1)), values),
        (x.flatten(), values.reshape(-1)),
        (x.flatten(1), values.reshape(2, 12)),
        (x.flatten(0, 1), values.reshape(6, 4)),
        (x[:, :1].expand(2, 5, 4), np.broadcast_to(values[:, :1], (2, 5, 4))),
        (x[:, :1].expand(7, -1, 5, -1), np.broadcast_to(values[:, :1], (7, 2, 5, 4))),
        (x.mT.contiguous(), values.swapaxes(1, 2)),
        (x.pad(((1, 0), (0, 2), (0, 0)), 7.0), np.pad(values, ((1, 0), (0, 2), (0, 0)), constant_values=7)),
        (Tensor(1.0).pad(()), np.array(1.0, np.float32)),
        (Tensor(1.0).transpose(0, -1), np.array(1.0, np.float32)),
        (Tensor(1.0).flatten(), np.ones(1, np.float32)),
        (concat([x, x[:, :2]], 1), np.concatenate([values, values[:, :2]], 1)),
        (concat([x, x], -1), np.concatenate([values, values], -1)),
        (stack([x, x], 1), np.stack([values, values], 1)),
        (stack([x, x], -1), np.stack([values, values], -1)),
        (stack([Tensor(1.0), Tensor(2.0)]), np.array([1, 2], np.float32)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours.data, theirs, strict=True)
    assert x.contiguous() is x


@given(st.integers(0, 7), st.integers(1, 4))
def test_split_and_concat_are_inverse(n: int, size: int) -> None:
    x = Tensor(numbers((2, n)))
    parts = x.split(size, 1)
    assert [p.shape[1] for p in parts] == ([size] * (n // size) + [n % size] * (n % size > 0) or [0])
    np.testing.assert_array_equal(concat(parts, 1).data, x.data)


@pytest.mark.parametrize(
    "act",
    [
        lambda x: x.reshape(5, 5),
        lambda x: x.reshape(-1, -1),
        lambda x: x.reshape(-1, 5),
        lambda x: x.permute(0, 1),
        lambda x: x.permute(0, 0, 1),
        lambda x: x.transpose(0, 3),
        lambda x: x.T,
        lambda x: Tensor(1.0).mT,
        lambda x: x.squeeze(0),
        lambda x: x.squeeze(9),
        lambda x: x.unsqueeze(9),
        lambda x: x.flatten(2, 1),
        lambda x: x.expand(2, 3),
        lambda x: x.expand(2, 3, 8),
        lambda x: x.expand(-1, 2, 3, 4),
        lambda x: x.split(0),
        lambda x: x.split([1, 2]),
        lambda x: x.split([3, -1]),
        lambda x: x.pad(((1, 1),)),
        lambda x: x.pad(((-1, 0), (0, 0), (0, 0))),
        lambda x: concat([]),
        lambda x: concat([x, x[0]]),
        lambda x: concat([x, x[:1]], 1),
        lambda x: concat([Tensor(1.0), Tensor(2.0)]),
        lambda x: concat([x], 3),
        lambda x: stack([]),
        lambda x: stack([x, x[:1]]),
        lambda x: x.item(),
        lambda x: bool(x),
        lambda x: len(Tensor(1.0)),
    ],
)
def test_what_does_not_fit_is_a_shape_error(act: Callable[[Tensor], Any]) -> None:
    with pytest.raises(ShapeError):
        act(zeros(2, 3, 4))


def test_concat_refuses_mixed_dtypes() -> None:
    with pytest.raises(DTypeError):
        concat([zeros(2), zeros(2, dtype="float64")])


# ---------------------------------------------------------------- what it shows


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (Tensor([[1.0, 2.0]]), "Tensor([[1., 2.]])"),
        (Tensor([1, 2]), "Tensor([1, 2])"),
        (Tensor(True), "Tensor(True)"),
        (Tensor([1.0], "float64"), "Tensor([1.], dtype=float64)"),
        (Tensor([1.0], "float16"), "Tensor([1.], dtype=float16)"),
        (Tensor([1.0], requires_grad=True), "Tensor([1.], requires_grad=True)"),
        (Tensor([1.0], requires_grad=True).exp(), "Tensor([2.7183], made by exp)"),
        (zeros(0), "Tensor([])"),
    ],
)
def test_repr(x: Tensor, text: str) -> None:
    assert repr(x) == text


def test_repr_of_a_large_tensor_is_short() -> None:
    assert len(repr(zeros(1000, 1000))) < 1000


def test_numbers_out() -> None:
    assert (Tensor(2.5).item(), float(Tensor([2.5])), int(Tensor(2.9))) == (2.5, 2.5, 2)
    assert [10, 20, 30][Tensor(1)] == 20
    with pytest.raises(DTypeError):
        operator.index(Tensor(1.0))
    assert bool(Tensor([0.0])) is False


def test_every_exit_is_observed_once() -> None:
    x, watcher = Tensor([1.0]), Watcher()
    exits: dict[str, Callable[[], Any]] = {
        "data": lambda: x.data,
        "numpy": x.numpy,
        "item": x.item,
        "tolist": x.tolist,
        "bool": lambda: bool(x),
        "__array__": lambda: np.asarray(x),
        "repr": lambda: repr(x),
    }
    with observe(watcher):
        for how, act in exits.items():
            watcher.exits.clear()
            act()
            assert watcher.exits == [how]
        watcher.exits.clear()
        float(x), x[x > 0], np.asarray(x, np.float64)
        assert watcher.exits == ["item", "bool index", "__array__"]
    x.item()
    assert len(watcher.exits) == 3, "outside of the block nothing is told"


def test_computing_is_no_exit() -> None:
    watcher = Watcher()
    x = Tensor(numbers((3, 4)), requires_grad=True)
    with observe(watcher):
        ((x @ x.mT).relu().sum(0) + x[1:].mean() * 2.0).max().backward()
    assert watcher.exits == []
    assert watcher.ops[:3] == ["permute", "matmul", "relu"]


def test_data_and_arrays_are_read_only() -> None:
    x = Tensor([1.0, 2.0])
    for view in (x.data, np.asarray(x), x[:1].data, x.expand(2, 2).data):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 5
    x.numpy()[0] = 5
    np.array(x)[0] = 5
    np.asarray(x, np.float64)[0] = 5
    assert x.tolist() == [1, 2]


def test_numpy_never_takes_over() -> None:
    x = Tensor([1.0, 2.0])
    for out in (np.ones(2, np.float32) + x, np.float32(2) * x, np.ones((2, 2), np.float32) @ x):
        assert isinstance(out, Tensor)
    with pytest.raises(TypeError):
        np.exp(x)  # type: ignore[call-overload]


# ---------------------------------------------------------------- change in place


def test_assign_whole_and_parts() -> None:
    x = Tensor(np.zeros((3, 4)))
    assert x.assign_(1.5) is x
    x.assign_(Tensor([9.0, 8.0, 7.0, 6.0]), at=0)
    x.assign_(-1, at=(slice(1, None), slice(None, None, 2)))
    x.assign_(np.array(5.0), at=(2, 3))
    expected = np.full((3, 4), 1.5)
    expected[0], expected[1:, ::2], expected[2, 3] = [9, 8, 7, 6], -1, 5
    np.testing.assert_array_equal(x.data, expected)


def test_assign_keeps_the_dtype_and_the_memory() -> None:
    x = Tensor([1.0, 2.0])
    before = x.data
    x.assign_(Tensor([3, 4]))
    assert x.dtype == "float32"
    assert before.tolist() == [3, 4]


@pytest.mark.parametrize("at", [None, 0, slice(0, 2)])
def test_assign_that_does_not_fit_changes_nothing(at: Any) -> None:
    x = zeros(3, 4)
    with pytest.raises(ShapeError):
        x.assign_(ones(5, 5), at=at)
    with pytest.raises(ShapeError):
        x.assign_(1.0, at=(3,))
    assert not x.data.any()


def test_assign_refuses_views_and_recorded_tensors() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    for target in (x[:1], x.reshape(2, 1), x.unsqueeze(0).mT, x.detach(), x * 2):
        with pytest.raises(GradientError):
            target.assign_(0.0)
    assert x.tolist() == [1, 2]


def test_assign_is_an_op_that_watchers_see_and_that_no_graph_records() -> None:
    x, watcher = Tensor([1.0, 2.0], requires_grad=True), Watcher()
    with observe(watcher):
        x.assign_(x * 3)
    assert watcher.ops == ["mul", "assign"]
    assert x.is_leaf
    assert x.requires_grad
    assert x.tolist() == [3, 6]


def test_clone_detach_and_deepcopy() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    clone, detached, twin = x.clone(), x.detach(), copy.deepcopy(x)
    x.assign_(7.0)
    assert (clone.tolist(), detached.tolist(), twin.tolist()) == ([1, 2], [7, 7], [1, 2])
    assert (clone.requires_grad, detached.requires_grad, twin.requires_grad) == (True, False, True)
    with pytest.raises(GradientError):
        copy.deepcopy(x * 2)


def test_to_casts_and_keeps_gradients() -> None:
    x = Tensor([1.5, -2.5], requires_grad=True)
    assert x.to("float32") is x
    assert x.to("int32").tolist() == [1, -2]
    (x.to("float64") * 3.0).sum().backward()
    assert x.grad is not None
    assert (x.grad.dtype, x.grad.tolist()) == ("float32", [3, 3])


# ---------------------------------------------------------------- threads


def test_switches_and_watchers_belong_to_their_thread() -> None:
    watcher = Watcher()
    seen: dict[str, Any] = {}

    def work() -> None:
        y = Tensor([1.0], requires_grad=True) * 2
        seen.update(requires_grad=y.requires_grad, observers=state().observers, path=state().path)

    state().path = "main"
    try:
        with no_grad(), observe(watcher):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            assert not (Tensor([1.0], requires_grad=True) * 2).requires_grad
    finally:
        state().path = ""
    assert seen == {"requires_grad": True, "observers": (), "path": ""}
    assert watcher.ops == ["mul"], "only this thread's"

"""Updates in place: memory out of order, blocks, mixed dtypes, and refusals that leave all as it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.autograd import no_grad
from tinytorch.errors import DTypeError, GradientError, ShapeError, TinyTorchError
from tinytorch.ops.base import Op
from tinytorch.ops.spec import Array, float32, float64
from tinytorch.ops.update import _BLOCK, AdamUpdate, GlobalNorm, ScaleAll, SGDUpdate
from tinytorch.tensor import Tensor, from_numpy

OPS = [
    SGDUpdate(2),
    SGDUpdate(2, 0.9, False, 0.1),
    SGDUpdate(2, 0.9, True, 0.1),
    AdamUpdate(2),
    AdamUpdate(2, (0.8, 0.95), 1e-6, 0.1, False),
    AdamUpdate(2, (0.8, 0.95), 1e-6, 0.1, True),
]


def columns(op: Op) -> int:
    return 4 if isinstance(op, AdamUpdate) else 3 if isinstance(op, SGDUpdate) and op.momentum else 2


def tensors(
    op: Op, shapes: list[tuple[int, ...]], dtype: np.dtype[np.floating], seed: int = 0
) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    found = [
        from_numpy(rng.uniform(0.1, 1, shape).astype(dtype)) for _ in range(columns(op)) for shape in shapes
    ]
    steps = [Tensor(np.array(3)) for _ in shapes] if isinstance(op, AdamUpdate) else []
    return [Tensor(np.array(0.01)), *found, *steps]


@pytest.mark.parametrize("op", OPS, ids=str)
@given(sizes=st.lists(st.sampled_from([0, 1, 5, _BLOCK - 1, _BLOCK, 2 * _BLOCK + 3]), min_size=2, max_size=2))
def test_any_size_agrees_with_the_composite_form(op: Op, sizes: list[int]) -> None:
    given_tensors = tensors(op, [(n,) for n in sizes], float64)
    with no_grad():
        expected = op.composite(*given_tensors)
        op(*given_tensors)
    for position, new in zip(op.mutates, expected, strict=True):
        np.testing.assert_allclose(given_tensors[position].data, new.data, rtol=1e-12, atol=1e-14)


def _fortran(a: Array) -> Array:
    return np.asfortranarray(a)


def _strided(a: Array) -> Array:
    room = np.zeros((a.shape[0], 2 * a.shape[1]), a.dtype)
    room[:, ::2] = a
    return room[:, ::2]


def _unaligned(a: Array) -> Array:
    room = np.zeros(a.nbytes + 1, np.uint8)
    view = room[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


@pytest.mark.parametrize("layout", [_fortran, _strided, _unaligned])
@pytest.mark.parametrize("op", OPS, ids=str)
def test_memory_out_of_order_is_updated_where_it_lies(op: Op, layout: Callable[[Array], Array]) -> None:
    plain = tensors(op, [(3, 4), (2, 5)], float32)
    odd = [from_numpy(layout(t.numpy())) if t.ndim else Tensor(t.numpy()) for t in plain]
    arrays = [t._array for t in odd]
    with no_grad():
        op(*plain)
        op(*odd)
    for position in op.mutates:
        assert odd[position]._array is arrays[position]
        np.testing.assert_allclose(odd[position].data, plain[position].data, rtol=1e-6)


@pytest.mark.parametrize("op", OPS, ids=str)
def test_memory_in_order_is_not_copied_by_blas(op: Op) -> None:
    given_tensors = tensors(op, [(40, 30), (7,)], float32)
    before = [t._array for t in given_tensors]
    old = [t.numpy() for t in given_tensors]
    with no_grad():
        op(*given_tensors)
    for position, tensor in enumerate(given_tensors):
        assert tensor._array is before[position]
        assert (position in op.mutates) != np.array_equal(tensor.data, old[position])


@pytest.mark.parametrize("op", OPS, ids=str)
def test_dtypes_may_differ_between_parameters(op: Op) -> None:
    single, double = tensors(op, [(3,), (4,)], float32), tensors(op, [(3,), (4,)], float64)
    mixed = [(a if i % 2 else b) for i, (a, b) in enumerate(zip(single, double, strict=True))]
    alone = [Tensor(t.numpy()) for t in mixed]
    with no_grad():
        op(*mixed)
        one = type(op)(1, *[getattr(op, f) for f in op.__dataclass_fields__ if f != "count"])  # type: ignore[attr-defined]
        one(alone[0], *alone[1::2])
        one(alone[0], *alone[2::2])
    for a, b in zip(mixed, alone, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize("op", OPS, ids=str)
@pytest.mark.parametrize("bad", ["gradient shape", "gradient dtype", "integers", "rate"])
def test_what_does_not_fit_is_refused_and_nothing_changes(op: Op, bad: str) -> None:
    given_tensors = tensors(op, [(3, 4), (5,)], float32)
    error: type[TinyTorchError] = ShapeError
    if bad == "gradient shape":
        given_tensors[4] = Tensor(np.zeros(6, np.float32))
    elif bad == "gradient dtype":
        given_tensors[4] = Tensor(np.zeros(5))
    elif bad == "integers":
        given_tensors[2], error = Tensor(np.zeros(5, np.int64)), DTypeError
    else:
        given_tensors[0] = Tensor(np.zeros(2))
    before = [t.numpy() for t in given_tensors]
    with no_grad(), pytest.raises(error):
        op(*given_tensors)
    for tensor, old in zip(given_tensors, before, strict=True):
        np.testing.assert_array_equal(tensor.data, old)


def test_parameters_are_not_updated_where_gradients_are_recorded() -> None:
    op = SGDUpdate(1)
    with pytest.raises(GradientError, match="no_grad"):
        op(Tensor(np.array(0.1)), Tensor([1.0], requires_grad=True), Tensor([1.0]))


def test_the_norm_of_squares_too_large_for_float32() -> None:
    assert GlobalNorm()(Tensor([3e30, 4e30])).item() == pytest.approx(5e30, rel=1e-6)
    assert GlobalNorm()(Tensor([1.0]), Tensor([np.inf])).item() == np.inf
    assert np.isnan(GlobalNorm()(Tensor([1.0]), Tensor([np.nan])).item())


def test_scaling_by_one_leaves_every_bit() -> None:
    x = Tensor([0.1, np.inf, np.nan])
    with no_grad():
        ScaleAll(1)(Tensor(np.array(1.0)), x)
    np.testing.assert_array_equal(x.data, np.array([0.1, np.inf, np.nan], np.float32))


def test_flops_count_every_element() -> None:
    specs = tensors(SGDUpdate(2), [(3, 4), (5,)], float32)
    assert SGDUpdate(2).flops(specs[1], *specs) == 2 * 17  # type: ignore[arg-type]

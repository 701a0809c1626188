"""One suite over the samples of all ops: values, specs, gradients of both orders, layouts, backends."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tinytorch.nn
import tinytorch.ops
from tests.ops import (  # noqa: F401  # they fill the table
    reference_codes,
    reference_fused,
    reference_images,
    reference_language,
    reference_sparse,
)
from tests.ops.reference import EXTRA_SAMPLES, REFERENCES, Array
from tinytorch.autograd import grad, no_grad
from tinytorch.errors import DTypeError, GradientError
from tinytorch.ops.base import Op, Sample
from tinytorch.ops.context import context, observe, register_kernel, use_backend
from tinytorch.ops.spec import Spec, float16, float32, float64
from tinytorch.tensor import Tensor, from_numpy

ABSTRACT = {
    "Unary",
    "Binary",
    "Comparison",
    "Layout",
    "Reduction",
    "Convolution",
    "Pooling",
    "Sparse",
    "Paged",
}
"""Bases that compute nothing themselves; every other op answers to this suite."""
HERE_ONLY = (float32, float64)
BUILT_IN = ("naive", "blocked", "compiled")

for package in (tinytorch.ops, tinytorch.nn):
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)


def _below(op: type[Op]) -> list[type[Op]]:
    return [found for sub in op.__subclasses__() for found in (sub, *_below(sub))]


OPS = sorted(
    {
        op
        for op in _below(Op)
        if op.__module__.startswith(("tinytorch.ops.", "tinytorch.nn.")) and op.__name__ not in ABSTRACT
    },
    key=lambda op: op.__name__,
)


@dataclasses.dataclass
class Case:
    """An op with inputs to test it on."""

    op: Op
    sample: Sample
    name: str

    def arrays(self, dtype: np.dtype[Any] = float64) -> list[Array]:
        """Inputs of this case, the same on each call: random where the sample gives a shape."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        out = []
        for given in self.sample.inputs:
            random = isinstance(given, tuple)
            array = rng.uniform(self.sample.low, self.sample.high, given) if random else given
            # a number that a sample gives, such as a learning rate, is of the one dtype the op takes
            keeps_dtype = array.dtype.kind != "f" or not (random or array.ndim)
            out.append(np.array(array, array.dtype if keeps_dtype else dtype))
        return out

    @property
    def differentiable(self) -> bool:
        specs = (Spec(a.shape, a.dtype) for a in self.arrays())
        return (
            self.sample.differentiable
            and has_gradient(self.op)
            and tuple_of(self.op.infer(*specs))[0].dtype.kind == "f"
        )


def _cases() -> list[Case]:
    cases = []
    for cls in OPS:
        for number, given in enumerate([*cls.samples, *EXTRA_SAMPLES.get(cls.__name__, ())]):
            sample = given if isinstance(given, Sample) else Sample(None, *given)
            op = cls() if sample.op is None else sample.op
            cases.append(Case(op, sample, f"{cls.__name__}-{number}"))
    return cases


def has_gradient(op: Op) -> bool:
    return type(op).vjp is not Op.vjp


def tuple_of(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def outputs(case: Case, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    """The op's own results on the case's inputs."""
    return tuple(np.asarray(out) for out in tuple_of(case.op.forward(*case.arrays(dtype))))


def assert_near(found: Any, expected: Any, tolerance: float) -> None:
    """Shapes agree, and the largest difference is at most `tolerance` of the largest number, or of 1."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    if expected.size:
        largest = max(1.0, float(np.abs(expected.astype(float)).max()))
        np.testing.assert_allclose(
            found.astype(float), expected.astype(float), rtol=0, atol=tolerance * largest
        )


CASES = _cases()
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
smooth = pytest.mark.parametrize("case", [c for c in CASES if c.differentiable], ids=lambda case: case.name)


def kernels_of(backend: str) -> set[type[Op]]:
    with use_backend(backend):
        return set(context.state.kernels)


def _with_backends(cases: Sequence[Case], *backends: str) -> pytest.MarkDecorator:
    """Each case on each backend that has a kernel of its own for the op, or is NumPy."""
    pairs = [
        (case, backend)
        for backend in backends
        for case in cases
        if backend == "numpy" or type(case.op) in kernels_of(backend)
    ]
    return pytest.mark.parametrize(("case", "backend"), pairs, ids=lambda x: x if type(x) is str else x.name)


TOLERANCE = {float32: 1e-5, float64: 1e-12}


# ---------------------------------------------------------------- no op escapes


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)
def test_every_op_is_tested(op: type[Op]) -> None:
    assert op.forward is not Op.forward, f"{op.__name__} computes nothing: is it an abstract base?"
    assert op.infer is not Op.infer, f"{op.__name__} has no infer"
    assert op.samples, f"{op.__name__} has no samples"
    assert op.__name__ in REFERENCES, f"{op.__name__} has no reference in tests/ops"
    for case in CASES:
        assert case.sample.op is None or case.name.split("-")[0] == type(case.op).__name__, (
            "samples of another op"
        )


def test_every_reference_belongs_to_an_op() -> None:
    assert REFERENCES.keys() | EXTRA_SAMPLES.keys() <= {op.__name__ for op in OPS}


@every
def test_an_op_that_gives_floats_has_a_gradient_or_says_that_it_has_none(case: Case) -> None:
    inputs = [Tensor(array) for array in case.arrays()]
    floats = [t.requires_grad_() for t in inputs if t.dtype.kind == "f"]
    if not floats or case.op.mutates:
        return
    out = case.op(*inputs)
    if out.dtype.kind != "f":
        assert not out.requires_grad
    elif not has_gradient(case.op):
        stated = type(case.op).__name__.endswith("Grad") or not case.sample.differentiable
        assert stated, "without a vjp: a gradient that is an op of its own, or an op whose samples say so"
        with pytest.raises(GradientError):
            out.sum().backward()


# ---------------------------------------------------------------- values and specs


def run_on(backend: str, op: Op, arrays: Sequence[Array]) -> tuple[Array, ...]:
    """All outputs of an op on a backend; what it changes in place changes in the arrays."""
    if backend == "numpy":
        return tuple_of(op.forward(*arrays))
    with use_backend(backend), no_grad():
        return tuple(out.numpy() for out in op.all(*map(from_numpy, arrays)))


@pytest.mark.parametrize("dtype", HERE_ONLY, ids=str)
@_with_backends(CASES, "numpy", *BUILT_IN)
def test_forward_agrees_with_the_reference(case: Case, dtype: np.dtype[Any], backend: str) -> None:
    ours = case.arrays(dtype)
    before = [array.copy() for array in ours]
    theirs = [a.astype(float64) if a.dtype.kind == "f" else a.copy() for a in ours]
    found = run_on(backend, case.op, ours)
    expected = tuple_of(REFERENCES[type(case.op).__name__](case.op, *theirs))
    assert len(found) == len(expected) == case.op.outputs
    for a, b in zip(found, expected, strict=True):
        exact = np.asarray(a).dtype.kind != "f"
        limit = 0 if exact else max(TOLERANCE[dtype], TOLERANCE.get(np.asarray(a).dtype, 1e-3))
        assert_near(a, b, limit)
    for position, (array, old, changed) in enumerate(zip(ours, before, theirs, strict=True)):
        if position in case.op.mutates:
            assert_near(array, changed, TOLERANCE[dtype])
        else:
            np.testing.assert_array_equal(array, old, f"input {position} was changed but is not in mutates")


@pytest.mark.parametrize("dtype", [float16, *HERE_ONLY], ids=str)
@every
def test_infer_agrees_with_forward(case: Case, dtype: np.dtype[Any]) -> None:
    try:
        specs = tuple_of(case.op.infer(*(Spec(a.shape, a.dtype) for a in case.arrays(dtype))))
    except DTypeError:
        assert dtype == float16, "an op may refuse float16, which is there to store numbers, but nothing else"
        return
    assert [(s.shape, s.dtype) for s in specs] == [(out.shape, out.dtype) for out in outputs(case, dtype)]


@every
def test_flops_are_a_whole_number_or_unknown(case: Case) -> None:
    specs = [Spec(a.shape, a.dtype) for a in case.arrays()]
    work = case.op.flops(case.op.infer(*specs), *specs)
    assert work is None or (type(work) is int and work >= 0)


@every
def test_an_op_holds_its_parameters_and_nothing_else(case: Case) -> None:
    named = (
        {field.name for field in dataclasses.fields(case.op)} if dataclasses.is_dataclass(case.op) else set()
    )
    before = dict(vars(case.op))
    inputs = [Tensor(array) for array in case.arrays()]
    with no_grad():
        case.op(*inputs)
    if case.differentiable:
        floats = [t.requires_grad_() for t in inputs if t.dtype.kind == "f"]
        grad(case.op(*inputs).sum(), floats)
    assert vars(case.op) == before
    assert before.keys() == named


# ---------------------------------------------------------------- gradients


def _floats(arrays: Sequence[Array]) -> list[int]:
    return [i for i, array in enumerate(arrays) if array.dtype.kind == "f"]


def _cotangent(case: Case) -> Array:
    out = outputs(case, float64)[0]
    return np.random.default_rng(1).standard_normal(out.shape).astype(out.dtype)


def _first_order(case: Case, arrays: Sequence[Array], g: Array, wanted: Sequence[int]) -> list[Array]:
    """Gradients of the `wanted` inputs, which are no leaves here, so that `keeps` is taken at its word."""
    leaves = [Tensor(array) for array in arrays]
    for i in wanted:
        leaves[i].requires_grad_()
    out = case.op(*(leaf.clone() for leaf in leaves))
    found = grad(out, [leaves[i] for i in wanted], Tensor(g))
    return [np.zeros_like(arrays[i]) if d is None else d.numpy() for i, d in zip(wanted, found, strict=True)]


def differences(function: Callable[..., float], arrays: Sequence[Array], position: int, eps: float) -> Array:
    """The gradient of a number by central differences in one of the arrays."""
    out = np.zeros(arrays[position].shape)
    for at in np.ndindex(out.shape):
        sides = []
        for step in (eps, -eps):
            moved = [array.copy() for array in arrays]
            moved[position][at] += step
            sides.append(function(*moved))
        out[at] = (sides[0] - sides[1]) / (2 * eps)
    return out


@smooth
def test_gradients_agree_with_differences(case: Case) -> None:
    arrays, g = case.arrays(), _cotangent(case)
    # Where the output is rounded to fewer bits (a cast), only a wide step sees through the rounding.
    eps, tolerance = (1e-6, 1e-7) if g.dtype == float64 else (0.25, 1e-5)

    def contracted(*moved: Array) -> float:
        return float(np.sum(np.asarray(tuple_of(case.op.forward(*moved))[0], float64) * g))

    wanted = _floats(arrays)
    found = _first_order(case, arrays, g, wanted)
    for i, gradient in zip(wanted, found, strict=True):
        assert gradient.dtype == arrays[i].dtype
        assert_near(gradient, differences(contracted, arrays, i, eps), tolerance)


@smooth
def test_one_wanted_gradient_is_the_same_as_among_all(case: Case) -> None:
    arrays, g = case.arrays(), _cotangent(case)
    wanted = _floats(arrays)
    together = _first_order(case, arrays, g, wanted)
    for i, expected in zip(wanted, together, strict=True):
        assert_near(_first_order(case, arrays, g, [i])[0], expected, 1e-12)


@smooth
def test_gradients_in_float32(case: Case) -> None:
    g = _cotangent(case)
    single, double = case.arrays(float32), case.arrays(float64)
    out_dtype = outputs(case, float32)[0].dtype
    found = _first_order(case, single, g.astype(out_dtype), _floats(single))
    expected = _first_order(case, double, g, _floats(double))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == float32
        assert_near(a, b, 2e-5)


@smooth
def test_second_order_agrees_with_differences(case: Case) -> None:
    arrays, g = case.arrays(), _cotangent(case)
    if g.dtype != float64:
        return  # a cast to fewer bits is linear: what its gradient loses, differences cannot see
    wanted = _floats(arrays)
    rng = np.random.default_rng(2)
    directions = [rng.standard_normal(arrays[i].shape) for i in wanted]

    def contracted(cotangent: Array, *moved: Array) -> float:
        found = _first_order(case, moved, cotangent, wanted)
        return float(sum((d * v).sum() for d, v in zip(found, directions, strict=True)))

    leaves = [Tensor(a, requires_grad=a.dtype.kind == "f") for a in (g, *arrays)]
    first = grad(case.op(*leaves[1:]), [leaves[1 + i] for i in wanted], leaves[0], create_graph=True)
    total = Tensor(np.zeros(()))
    for d, v in zip(first, directions, strict=True):
        total = total + (Tensor(np.zeros(())) if d is None else (d * Tensor(v)).sum())
    positions = [0, *(1 + i for i in wanted)]
    second = grad(total, [leaves[i] for i in positions]) if total.requires_grad else [None] * len(positions)
    for position, found in zip(positions, second, strict=True):
        expected = differences(contracted, [g, *arrays], position, 1e-5)
        assert_near(np.zeros(expected.shape) if found is None else found.data, expected, 1e-6)


# ---------------------------------------------------------------- layouts in memory


def _transposed(array: Array) -> Array:
    return np.array(array, order="F")


def _stepped(array: Array) -> Array:
    if not array.ndim:
        return np.stack([array, array])[1:].reshape(())
    room = np.zeros((*array.shape[:-1], 2 * array.shape[-1] + 1), array.dtype)
    view = room[..., 1::2]
    view[...] = array
    return view


def _reversed(array: Array) -> Array:
    return np.flip(np.flip(array).copy()) if array.ndim else array


@_with_backends(CASES, "numpy", *BUILT_IN)
def test_strided_inputs_give_the_same(case: Case, backend: str) -> None:
    plain = case.arrays()
    expected = case.op.forward(*plain)
    for layout in (_transposed, _stepped, _reversed):
        strided = [layout(array) for array in case.arrays()]
        found = run_on(backend, case.op, strided)
        for a, b in zip(tuple_of(found), tuple_of(expected), strict=True):
            assert_near(a, b, 1e-12)
        for a, b in zip(strided, plain, strict=True):
            assert_near(a, b, 1e-12)  # and what changed in place changed in the same way


@smooth
def test_strided_cotangents_and_inputs_give_the_same_gradients(case: Case) -> None:
    arrays, g = case.arrays(), _cotangent(case)
    expected = _first_order(case, arrays, g, _floats(arrays))
    for layout in (_transposed, _stepped):
        leaves = [from_numpy(layout(array)) for array in arrays]
        floats = [t.requires_grad_() for t in leaves if t.dtype.kind == "f"]
        found = grad(case.op(*leaves), floats, from_numpy(layout(g)))
        for a, b in zip(found, expected, strict=True):
            assert_near(np.zeros(b.shape) if a is None else a.data, b, 1e-12)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,), (3, 1, 2)], ids=str)
@pytest.mark.parametrize("op", [op for op in OPS if {"Unary", "Binary"} & {b.__name__ for b in op.__mro__}])
def test_elementwise_ops_take_any_shape(op: type[Op], shape: tuple[int, ...]) -> None:
    case = next(case for case in CASES if type(case.op) is op)
    low, high = case.sample.low, case.sample.high
    dtype = case.arrays()[0].dtype
    values = np.random.default_rng(3).uniform(low, high, (2, *shape))
    arrays = list((values > 0 if dtype.kind == "b" else values)[: len(case.sample.inputs)])
    out = np.asarray(case.op.forward(*arrays))
    assert out.shape == shape
    if arrays[0].size:
        assert_near(
            out, REFERENCES[op.__name__](case.op, *arrays), max(1e-12, TOLERANCE.get(out.dtype, 1e-3))
        )
    if case.differentiable:
        leaves = [Tensor(array, requires_grad=True) for array in arrays]
        found = grad(case.op(*leaves), leaves, Tensor(np.ones(shape, out.dtype)))
        assert all(d is None or (d.shape == shape and np.isfinite(d.data).all()) for d in found)


# ---------------------------------------------------------------- fused and composite


@pytest.mark.parametrize(
    "case", [c for c in CASES if type(c.op).composite is not Op.composite], ids=lambda case: case.name
)
def test_composite_agrees_with_the_fused_op(case: Case) -> None:
    arrays, g = case.arrays(), _cotangent(case)
    leaves = [Tensor(array, requires_grad=array.dtype.kind == "f") for array in arrays]
    out = case.op.composite(*leaves)
    expected = outputs(case, float64)[:1]
    if case.op.mutates:
        changed = case.arrays()
        case.op.forward(*changed)
        expected = tuple(changed[i] for i in case.op.mutates)
    for a, b in zip(tuple_of(out), expected, strict=True):
        assert_near(a.data, b, 1e-12)
    if case.differentiable:
        through = grad(out, [leaf for leaf in leaves if leaf.requires_grad], Tensor(g))
        for a, b in zip(through, _first_order(case, arrays, g, _floats(arrays)), strict=True):
            assert_near(np.zeros(b.shape) if a is None else a.data, b, 1e-11)


def test_ops_whose_gradient_has_none_go_through_their_composite() -> None:
    for op in OPS:
        if op.higher_order == "composite":
            assert op.composite is not Op.composite, op.__name__
            assert op.keeps is None or len(op.keeps) >= max(
                len(case.sample.inputs) for case in CASES if type(case.op) is op
            ), f"{op.__name__} must keep all inputs for its composite form"


# ---------------------------------------------------------------- backends and watchers

_ran: list[type[Op]] = []
WITH_KERNEL = OPS[::2]


def _kernel(op: Op, *arrays: Array) -> Any:
    _ran.append(type(op))
    return op.forward(*arrays)


for _op in WITH_KERNEL:
    register_kernel("samples-toy", _op)(_kernel)


@every
def test_a_backend_supplies_some_kernels_and_numpy_the_others(case: Case) -> None:
    expected = outputs(case, float64)
    inputs = [Tensor(array) for array in case.arrays()]
    _ran.clear()
    with use_backend("samples-toy"), no_grad():
        found = case.op.all(*inputs)
        assert _ran == ([type(case.op)] if type(case.op) in WITH_KERNEL else [])
    for a, b in zip(found, expected, strict=True):
        assert_near(a.data, b, 1e-12)


@_with_backends([c for c in CASES if c.differentiable], *BUILT_IN)
def test_gradients_on_a_backend_are_those_on_numpy(case: Case, backend: str) -> None:
    arrays, g = case.arrays(), _cotangent(case)
    wanted = _floats(arrays)
    expected = _first_order(case, arrays, g, wanted)
    with use_backend(backend):
        found = _first_order(case, arrays, g, wanted)
    for a, b in zip(found, expected, strict=True):
        assert_near(a, b, 1e-11)


class _Watcher:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_op(self, event: Any) -> None:
        self.events.append(event)

    def on_exit(self, tensor: Tensor, how: str) -> None:
        raise AssertionError(f"an op let a value leave through {how}")


@smooth
def test_an_observer_sees_the_same_numbers_forward_and_backward(case: Case) -> None:
    arrays, g = case.arrays(), _cotangent(case)
    expected = _first_order(case, arrays, g, _floats(arrays))
    watcher = _Watcher()
    leaves = [Tensor(array, requires_grad=array.dtype.kind == "f") for array in arrays]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    with observe(watcher), use_backend("samples-toy"):
        out = case.op(*leaves)
        found = grad(out, wanted, Tensor(g))
    assert [type(event.op) for event in watcher.events if not event.backward] == [type(case.op)]
    for a, b in zip(found, expected, strict=True):
        assert_near(np.zeros(b.shape) if a is None else a.data, b, 1e-12)

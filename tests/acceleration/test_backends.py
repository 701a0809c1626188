"""Backends: named in a block, on a function or for the process, extended from outside, right at the edges."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import tinytorch as tt
from tinytorch import nn, optim
from tinytorch.errors import ShapeError, TinyTorchError
from tinytorch.ops.arithmetic import Add, Div, Maximum, Minimum
from tinytorch.ops.base import Op
from tinytorch.ops.context import register_kernel, use_backend
from tinytorch.ops.conv import Conv2d
from tinytorch.ops.elementwise import Exp, Log, Relu, Sigmoid, Sqrt, Tanh
from tinytorch.ops.matmul import Linear, LinearWeightGrad, MatMul
from tinytorch.ops.pool import MaxPool2d
from tinytorch.ops.reduce import Max, Mean
from tinytorch.ops.softmax import LogSoftmax, Softmax
from tinytorch.ops.spec import Array
from tinytorch.tensor import from_numpy

BUILT_IN = ("naive", "blocked")


def run_on(backend: str, op: Op, *arrays: Array) -> tuple[Array, ...]:
    with use_backend(backend), tt.no_grad():
        return tuple(out.numpy() for out in op.all(*map(from_numpy, arrays)))


def process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, as a user starts it."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# ---------------------------------------------------------------- which kernel runs


class Recorder:
    """A backend's kernels that note which op they ran, and compute something recognisable."""

    def __init__(self, value: float) -> None:
        self.value, self.ran = value, 0

    def __call__(self, op: Op, *arrays: Array) -> Any:
        self.ran += 1
        return np.full_like(op.forward(*arrays), self.value)


@pytest.fixture
def toy() -> Recorder:
    """A backend of somebody else: one kernel, registered from outside of the package."""
    recorder = Recorder(42.0)
    register_kernel("test-toy", Add)(recorder)
    return recorder


def test_a_third_party_adds_a_backend_and_numpy_does_the_rest(toy: Recorder) -> None:
    x = tt.Tensor([1.0, 2.0])
    with use_backend("test-toy"):
        assert (x + x).tolist() == [42.0, 42.0]
        assert (x * x).tolist() == [1.0, 4.0]
    assert (x + x).tolist() == [2.0, 4.0]
    assert toy.ran == 1


def test_a_third_party_adds_an_op_and_its_kernel_to_a_backend_of_ours() -> None:
    class Thrice(Op):
        def infer(self, a: Any) -> Any:
            return a

        def forward(self, a: Array) -> Array:
            return 3 * a

    @register_kernel("naive", Thrice)
    def kernel(op: Thrice, a: Array) -> Array:
        return np.array([x + x + x + 1000 for x in a.tolist()], a.dtype)

    with use_backend("naive"):
        assert Thrice()(tt.ones(2)).tolist() == [1003.0, 1003.0]
        assert (tt.ones(2) + tt.ones(2)).tolist() == [2.0, 2.0]


def test_a_kernel_registered_before_ours_are_imported_stays() -> None:
    code = """
import numpy as np, tinytorch as tt
from tinytorch.ops.arithmetic import Add, Mul
from tinytorch.ops.context import register_kernel
register_kernel("naive", Add)(lambda op, a, b: np.full_like(a, 7))
for _ in range(2):
    with tt.use_backend("naive"):
        print((tt.ones(1) + tt.ones(1)).item(), (tt.ones(1) * 3).item())
from tinytorch.acceleration.backends import naive
from tinytorch.ops import context
assert context._backends["naive"][Mul].__module__ == naive.__name__
"""
    run = process(code)
    assert run.stdout.split() == ["7.0", "3.0"] * 2, run.stderr


def test_blocks_nest_and_end(toy: Recorder) -> None:
    x = tt.ones(1)
    with use_backend("test-toy"):
        with use_backend("numpy"):
            assert (x + x).item() == 2
        with use_backend("naive"):
            assert (x + x).item() == 2
        assert (x + x).item() == 42
    assert (x + x).item() == 2
    assert toy.ran == 1


def test_as_a_decorator_each_call_runs_on_it(toy: Recorder) -> None:
    @use_backend("test-toy")
    def double(x: tt.Tensor) -> tt.Tensor:
        return x + x

    for _ in range(2):
        assert double(tt.ones(1)).item() == 42
    assert (tt.ones(1) + 1).item() == 2
    assert toy.ran == 2


def test_a_block_is_of_its_thread(toy: Recorder) -> None:
    found = []
    with use_backend("test-toy"):
        thread = threading.Thread(target=lambda: found.append((tt.ones(1) + tt.ones(1)).item()))
        thread.start()
        thread.join()
    assert found == [2.0]


def test_errors_on_a_backend_are_those_of_the_op() -> None:
    for backend in BUILT_IN:
        with use_backend(backend):
            with pytest.raises(ShapeError, match="inner sizes 3 and 2 differ"):
                tt.ones(2, 3) @ tt.ones(2, 3)
            with pytest.raises(ShapeError, match="do not broadcast"):
                tt.ones(2) + tt.ones(3)


# ---------------------------------------------------------------- chosen by name


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(ValueError) as caught, use_backend("abacus"):
        pass
    assert isinstance(caught.value, TinyTorchError)
    for name in ("'abacus'", "naive", "blocked", "compiled", "numpy"):
        assert name in str(caught.value)


def test_importing_tinytorch_imports_no_backend_and_no_compiler() -> None:
    code = """
import sys, tinytorch as tt
tt.ones(2) + 1
late = [name for name in sys.modules if name == "numba" or name.startswith("tinytorch.acceleration.backends")]
assert not late, late
with tt.use_backend("naive"):
    assert (tt.ones(2) + 1).tolist() == [2.0, 2.0]
assert "tinytorch.acceleration.backends.naive" in sys.modules
assert "tinytorch.acceleration.backends.blocked" not in sys.modules
"""
    run = process(code)
    assert run.returncode == 0, run.stderr


IN_ALL_THREADS = """
import threading, numpy as np, tinytorch as tt
from tinytorch.ops.arithmetic import Add
from tinytorch.ops.context import register_kernel
register_kernel("naive", Add)(lambda op, a, b: np.full_like(a, 7))
found = []
def add():
    found.append((tt.ones(1) + tt.ones(1)).item())
    with tt.use_backend("numpy"):
        found.append((tt.ones(1) + tt.ones(1)).item())
    found.append((tt.ones(1) + tt.ones(1)).item())
add()
thread = threading.Thread(target=add)
thread.start()
thread.join()
print(found)
"""


def test_the_environment_names_one_for_all_threads() -> None:
    run = process(IN_ALL_THREADS, TINYTORCH_BACKEND="naive")
    assert run.stdout.split("\n")[0] == str([7.0, 2.0, 7.0] * 2), run.stderr
    for nothing in ("", "numpy"):
        run = process(IN_ALL_THREADS, TINYTORCH_BACKEND=nothing)
        assert run.stdout.split("\n")[0] == str([2.0, 2.0, 2.0] * 2), run.stderr


def test_the_environment_may_name_one_that_is_registered_later() -> None:
    run = process(IN_ALL_THREADS.replace('"naive"', '"mine"'), TINYTORCH_BACKEND="mine")
    assert run.stdout.split("\n")[0] == str([7.0, 2.0, 7.0] * 2), run.stderr


def test_the_environment_names_one_that_does_not_exist() -> None:
    run = process("import tinytorch as tt\nprint('here')\ntt.ones(1) + 1", TINYTORCH_BACKEND="abacus")
    assert run.returncode == 1
    assert run.stdout == "here\n"
    last = run.stderr.splitlines()[-1]
    assert "TINYTORCH_BACKEND: backend 'abacus' does not exist; there are: blocked, compiled, naive" in last


def test_tito_says_in_one_line_that_it_does_not_exist() -> None:
    code = "from tinytorch.cli.main import main; main(['profile', 'mlp'])"
    run = process(code, TINYTORCH_BACKEND="abacus")
    assert run.returncode == 1
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith("tito: ")
    assert "TINYTORCH_BACKEND: backend 'abacus' does not exist; there are: blocked, compiled" in run.stderr


# ---------------------------------------------------------------- the kernels

NUMBERS = st.floats(-1e3, 1e3) | st.sampled_from([0.0, -0.0, 1e-300, 800.0, np.inf, -np.inf, np.nan])


def same(found: Array, expected: Array) -> None:
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=0)


@given(npst.arrays(np.float64, npst.array_shapes(min_side=0, max_dims=3, max_side=3), elements=NUMBERS))
def test_naive_functions_treat_special_numbers_as_numpy_does(x: Array) -> None:
    for op in (Exp(), Log(), Sqrt(), Tanh(), Sigmoid(), Relu()):
        same(run_on("naive", op, x)[0], op.forward(x))
    if x.ndim and x.shape[-1]:
        for op in (Softmax(x.ndim - 1), LogSoftmax(x.ndim - 1), Max((x.ndim - 1,)), Mean((0,))):
            with np.errstate(all="ignore"):
                expected = op.forward(x)
            np.testing.assert_allclose(run_on("naive", op, x)[0], expected, rtol=1e-12, atol=1e-12)


@given(npst.arrays(np.float64, (2, 5), elements=NUMBERS))
def test_naive_pairs_treat_special_numbers_as_numpy_does(pair: Array) -> None:
    for op in (Add(), Div(), Maximum(), Minimum()):
        with np.errstate(all="ignore"):
            expected = op.forward(pair[0], pair[1])
        same(run_on("naive", op, pair[0], pair[1])[0], expected)


@given(npst.arrays(np.float64, (1, 1, 4, 5), elements=NUMBERS))
def test_naive_pooling_takes_nan_and_infinities_as_numpy_does(x: Array) -> None:
    op = MaxPool2d((3, 2), (1, 1), (1, 1))
    for found, expected in zip(run_on("naive", op, x), op.forward(x), strict=True):
        same(found, expected)


def test_a_naive_softmax_of_nothing_but_minus_infinity_is_zeros() -> None:
    x = np.array([[-np.inf, -np.inf], [0.0, -np.inf]])
    np.testing.assert_array_equal(run_on("naive", Softmax(1), x)[0], [[0, 0], [1, 0]])
    np.testing.assert_array_equal(run_on("naive", Softmax(1), x)[0], Softmax(1).forward(x))


def test_naive_integers_wrap_around_and_bools_stay_bools() -> None:
    for dtype in (np.int8, np.int32, np.int64):
        ends = np.array([np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)
        one = np.array([1, -1], dtype)
        same(run_on("naive", Add(), ends, one)[0], ends + one)
    both = np.array([True, False])
    same(run_on("naive", Add(), both, both)[0], both)


@given(st.integers(0, 70), st.integers(0, 150), st.integers(0, 70), st.integers(0, 2**32 - 1))
def test_blocked_products_of_more_than_one_tile(n: int, k: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, w = (rng.standard_normal(shape, np.float32) for shape in ((2, n, k), (k, m), (m, k)))
    expected = a.astype(np.float64) @ b
    np.testing.assert_allclose(run_on("blocked", MatMul(), a, b)[0], expected, rtol=0, atol=1e-4)
    bias = rng.standard_normal(m, np.float32)
    np.testing.assert_allclose(
        run_on("blocked", Linear(), a, w, bias)[0], a.astype(np.float64) @ w.T + bias, rtol=0, atol=1e-4
    )
    dw, db = run_on("blocked", LinearWeightGrad(), a, a)
    flat = a.reshape(-1, k).astype(np.float64) if a.size else np.zeros((0, k))
    np.testing.assert_allclose(dw, flat.T @ flat, rtol=0, atol=1e-3)
    np.testing.assert_allclose(db, flat.sum(0), rtol=0, atol=1e-4)


def test_a_blocked_softmax_of_more_than_one_block() -> None:
    x = np.random.default_rng(0).standard_normal((300, 1000)) * 20
    e = np.exp(x - x.max(1, keepdims=True))
    np.testing.assert_allclose(run_on("blocked", Softmax(1), x)[0], e / e.sum(1, keepdims=True), rtol=1e-12)
    e = np.exp(x - x.max(0))
    np.testing.assert_allclose(run_on("blocked", Softmax(0), x)[0], e / e.sum(0), rtol=1e-12)
    np.testing.assert_array_equal(
        run_on("blocked", Softmax(1), np.full((2, 3), -np.inf))[0], np.zeros((2, 3))
    )


def test_a_blocked_convolution_of_more_than_one_tile() -> None:
    rng = np.random.default_rng(0)
    x, w, b = (
        rng.standard_normal((2, 20, 9, 8)),
        rng.standard_normal((130, 10, 3, 3)),
        rng.standard_normal(130),
    )
    op = Conv2d((2, 1), (1, 2), (1, 2), 2)
    np.testing.assert_allclose(run_on("blocked", op, x, w, b)[0], op.forward(x, w, b), rtol=0, atol=1e-11)


@pytest.mark.parametrize("backend", BUILT_IN)
def test_a_network_trains_as_on_numpy(backend: str) -> None:
    weights = []
    for name in ("numpy", backend):
        tt.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 3 * 3, 3))
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        x, labels = tt.randn(2, 1, 5, 5), tt.Tensor([0, 2])
        with use_backend(name):
            for _ in range(3):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), labels).backward()
                optimizer.step()
        weights.append([p.numpy() for p in model.parameters()])
    for found, expected in zip(weights[1], weights[0], strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)

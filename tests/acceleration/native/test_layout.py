"""Where buffers lie: over operands done with, in outputs not yet written; and operands packed for caches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tinytorch.acceleration.native import layout
from tinytorch.acceleration.native.kernels.convolution import Convolve
from tinytorch.acceleration.native.kernels.gemm import Blocks, Gemm, Product
from tinytorch.acceleration.native.lower import Fallback, lower
from tinytorch.acceleration.native.module import emit_module
from tinytorch.acceleration.native.place import Place
from tinytorch.acceleration.native.program import Program
from tinytorch.acceleration.native.source import render, run_source, states_of
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.trace import trace
from tinytorch.ops.base import clock
from tinytorch.ops.conv import conv2d
from tinytorch.ops.softmax import softmax
from tinytorch.ops.spec import Array
from tinytorch.optim import Adam


def program(function: Any, *arrays: Array, threads: int = 1) -> Program:
    with tt.no_grad():
        graph = optimise(trace(function, [tt.Tensor(a) for a in arrays]).graph)
    return Program(lower(graph), use_cache=False, threads=threads)


def numbers(*shapes: tuple[int, ...], dtype: str = "float32") -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def check(made: Program, function: Any, arrays: list[Array]) -> None:
    """Two runs, so that what one leaves behind would show in the next, beside float64."""
    wanted = function(*(tt.Tensor(a.astype("float64")) for a in arrays))
    wanted = [t.numpy() for t in (wanted if isinstance(wanted, tuple) else (wanted,))]
    tolerance = 1e-11 if arrays[0].dtype == np.float64 else 2e-5
    for _ in range(2):
        for got, want in zip(made.run(arrays, clock.now), wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * np.abs(want).max())


@pytest.mark.parametrize("threads", [1, 2])
def test_a_product_is_added_where_the_other_summand_lies(threads: int) -> None:
    def residual(x: tt.Tensor, w: tt.Tensor) -> tt.Tensor:
        h = (x * 2).tanh()
        return softmax(h + h.relu() @ w)

    arrays = numbers((40, 64), (64, 64))
    made = program(residual, *arrays, threads=threads)
    (product,) = (step for step in made.lowered.steps if isinstance(step, Gemm))
    (summand,) = product.in_place
    assert made.layout.resolve(product.writes[0].buffer) == made.layout.resolve(summand.buffer)
    check(made, residual, arrays)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kernel", [1, 5])
def test_a_convolution_too(kernel: int, threads: int) -> None:
    def residual(x: tt.Tensor, w: tt.Tensor) -> tt.Tensor:
        h = conv2d(x, w, padding=kernel // 2)
        return (h + conv2d(h.relu(), w, padding=kernel // 2)).sum((2, 3))

    arrays = numbers((3, 16, 9, 7), (16, 16, kernel, kernel))
    made = program(residual, *arrays, threads=threads)
    _, convolution = (step for step in made.lowered.steps if isinstance(step, Convolve))
    (summand,) = convolution.in_place
    assert made.layout.resolve(convolution.writes[0].buffer) == made.layout.resolve(summand.buffer)
    check(made, residual, arrays)


def test_a_summand_that_is_read_later_is_left_alone() -> None:
    def both(x: tt.Tensor, w: tt.Tensor) -> tt.Tensor:
        h = (x * 2).tanh()
        return softmax(h + h.relu() @ w) - h.sum(0)

    arrays = numbers((40, 64), (64, 64))
    check(program(both, *arrays), both, arrays)


def wide(x: tt.Tensor, w: tt.Tensor, u: tt.Tensor) -> tt.Tensor:
    h = (x @ w).tanh()
    for _ in range(3):
        h = softmax(h @ w) + h
    return h @ u


@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_are_working_memory_until_they_are_written(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = numbers((64, 64), (64, 64), (64, 300))
    made = program(wide, *arrays, threads=threads)
    room = made.lowered.buffers[next(lender for lender, _ in made.layout.lent.values())]
    assert room.kind == "output"
    for number, (_, offset) in made.layout.lent.items():
        assert offset + made.lowered.buffers[number].nbytes <= room.nbytes
    check(made, wide, arrays)
    monkeypatch.setattr(layout, "WORTH_LENDING", 1 << 40)
    assert program(wide, *arrays, threads=threads).layout.arena_bytes > made.layout.arena_bytes


def test_the_readable_source_lends_outputs_too() -> None:
    arrays = numbers((64, 64), (64, 64), (64, 300))
    made = program(wide, *arrays)
    text = render(made)
    assert "# there until that is written" in text
    (found,) = run_source(text, arrays, states_of(made))
    (wanted,) = made.run(arrays, clock.now)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)


TILES = [
    ("rows a page apart", lambda a, b: a @ b, (50, 1024, 130), "float32"),
    ("rows a page apart", lambda a, b: a @ b, (50, 512, 130), "float64"),
    ("rows in blocks", lambda a, b: a @ b, (103, 1024, 130), "float32"),
    ("columns", lambda a, b: a.T.contiguous().T @ b, (53, 37, 70), "float32"),
    ("columns", lambda a, b: a.T.contiguous().T @ b, (53, 37, 70), "float64"),
]


@pytest.mark.parametrize(("_", "function", "size", "dtype"), TILES, ids=[f"{t[0]}-{t[3]}" for t in TILES])
def test_rows_packed_into_tiles(_: str, function: Any, size: tuple[int, int, int], dtype: str) -> None:
    m, k, n = size
    arrays = numbers((m, k), (k, n), dtype=dtype)
    made = program(function, *arrays)
    (product,) = (step for step in made.lowered.steps if isinstance(step, Gemm))
    assert Blocks.of(product.product).pack
    check(made, function, arrays)


def test_the_next_panel_is_fetched_while_one_is_used() -> None:
    many, few = (program(lambda a, b: a @ b, *numbers((m, 64), (64, 96))) for m in (64, 5))
    assert "llvm.prefetch" in str(emit_module(many.layout))
    assert "llvm.prefetch" not in str(emit_module(few.layout))


def test_what_numpy_computes_with_lies_in_the_arena() -> None:
    def with_a_fallback(x: tt.Tensor, w: tt.Tensor, u: tt.Tensor) -> tt.Tensor:
        found = (softmax(x @ w) * 3).tanh().argmax(1)
        return x @ u + found.to("float32").reshape((-1, 1))

    arrays = numbers((64, 64), (64, 64), (64, 300))
    made = program(with_a_fallback, *arrays)
    assert any(isinstance(step, Fallback) for step in made.lowered.steps)
    wanted = with_a_fallback(*(tt.Tensor(a) for a in arrays)).numpy()
    np.testing.assert_allclose(made.run(arrays, clock.now)[0], wanted, rtol=2e-5, atol=2e-4)


def test_a_count_of_steps_does_not_overwrite_the_rate() -> None:
    def make() -> Any:
        w = tt.Tensor(np.ones(5, np.float32), requires_grad=True)
        optimizer = Adam([w], lr=0.1)
        lr = optimizer.param_groups[0]["lr"]

        def twice(x: tt.Tensor, rate: tt.Tensor) -> tt.Tensor:
            for i in range(2):
                with tt.no_grad():
                    lr.assign_(rate * (0.1 * (i + 1)))
                loss = ((w * x) ** 2).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return loss

        return twice

    eager, fast = make(), tt.compile(make())
    x, rate = tt.Tensor(np.arange(1, 6, dtype=np.float32)), tt.Tensor(np.array(0.5))
    for _ in range(3):
        assert fast(x, rate).item() == pytest.approx(eager(x, rate).item(), rel=1e-5)
    assert not fast.reasons


def test_draws_do_not_overwrite_the_state_they_come_from() -> None:
    def draw() -> tt.Tensor:
        return tt.rand(2, dtype=tt.float64) + tt.rand(2, dtype=tt.float64)

    tt.manual_seed(3)
    made = program(draw)
    states = states_of(made)
    before = {name: state.copy() for name, state in states.items()}
    text = render(made)
    (found,) = run_source(text, [], states)
    after = {name: state.copy() for name, state in states.items()}
    for name, state in before.items():
        states[name][...] = state
    (wanted,) = made.run([], clock.now)
    np.testing.assert_array_equal(found, wanted)
    assert [s.tolist() for s in after.values()] == [s.tolist() for s in states.values()]


def test_a_short_last_block_is_not_packed() -> None:
    left = Place(0, np.dtype("float64"), (24, 262145), (262656, 1))
    right = Place(1, np.dtype("float64"), (262145, 128), (128, 1))
    assert not Blocks.of(Product((), 24, 128, 262145, left, right)).pack

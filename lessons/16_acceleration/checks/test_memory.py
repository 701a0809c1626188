"""The memory plan: lives that overlap, the gap to take, and where each buffer goes."""

import numpy as np
import pytest
from helpers import at_once, clash, fused_freely, greedy, kernels, random_lives

from tinytorch import compile, nn, optim
from tinytorch.acceleration.memory import Life, best_gap, overlap, place_buffers, plan_memory
from tinytorch.autograd import no_grad
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise
from tinytorch.random import Generator
from tinytorch.tensor import Tensor

# ---------------------------------------------------------------- overlap


@exercise("overlap")
def test_lives_that_share_a_step():
    spans = [(first, last) for first in range(5) for last in range(first, 5)]
    for a, b in np.ndindex(len(spans), len(spans)):
        one, other = Life(64, *spans[a]), Life(100, *spans[b])
        shared = any(one.first <= step <= one.last for step in range(other.first, other.last + 1))
        expect.equal("overlap(Life(*one), Life(*other))", shared, one=tuple(one), other=tuple(other))


# ---------------------------------------------------------------- best_gap


def where(taken, size):
    """The best gap on a picture of memory, byte by byte."""
    end = max((after for _, after in taken), default=0)
    free = np.ones(end + 2, bool)
    free[0] = free[-1] = False
    for begin, after in taken:
        free[begin + 1 : after + 1] = False
    edges = np.flatnonzero(np.diff(free.astype(int)))
    gaps = [(b - a, a) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= size]
    return int(min(gaps)[1]) if gaps else end


@exercise("best_gap")
@pytest.mark.parametrize(
    ("taken", "size", "place"),
    [
        ([], 64, 0),
        ([(0, 64)], 64, 64),
        ([(64, 128)], 64, 0),
        ([(64, 128)], 128, 128),
        ([(0, 64), (192, 256), (320, 384)], 64, 256),
        ([(0, 64), (192, 256), (320, 384)], 128, 64),
        ([(0, 64), (192, 256), (320, 384)], 192, 384),
        ([(0, 64), (128, 192), (256, 320)], 64, 64),
        ([(0, 256), (64, 128)], 64, 256),
        ([(0, 256), (64, 128), (192, 320)], 64, 320),
        ([(0, 256), (64, 128), (320, 384)], 64, 256),
        ([(0, 64), (0, 128), (256, 320)], 64, 128),
        ([(128, 192), (256, 320)], 64, 192),
        ([(64, 128), (192, 256)], 64, 0),
    ],
)
def test_the_smallest_gap_that_is_large_enough(taken, size, place):
    expect.equal("best_gap(taken, size)", place)


@exercise("best_gap")
@pytest.mark.parametrize("count", [2, 3, 5, 8, 12])
def test_gaps_in_any_memory(rng, count):
    for _ in range(30):
        begins = rng.integers(0, 40, count) * 64
        taken = sorted(
            (int(b), int(b + n * 64)) for b, n in zip(begins, rng.integers(1, 9, count), strict=True)
        )
        size = 64 * int(rng.integers(1, 7))
        before = list(taken)
        expect.equal("best_gap(taken, size)", where(taken, size))
        expect.equal("taken", before)


# ---------------------------------------------------------------- place_buffers


@exercise("place_buffers")
@pytest.mark.parametrize(
    ("sizes_and_steps", "total"),
    [
        ([], 0),
        ([(1, 0, 0)], 64),
        ([(64, 0, 1), (64, 1, 2), (64, 2, 3)], 128),
        ([(64, 0, 0), (64, 1, 1), (64, 2, 2), (64, 3, 3)], 64),
        ([(64, 0, 3), (64, 1, 3), (64, 2, 3), (64, 3, 3)], 256),
        ([(100, 0, 1), (100, 1, 2)], 256),
        ([(1000, 0, 1), (64, 1, 2), (1000, 2, 3)], 1088),
        ([(128, 0, 2), (64, 2, 2), (256, 1, 1), (64, 3, 3)], 384),
        ([(64, 0, 9), (256, 0, 1), (128, 2, 3), (128, 2, 3), (256, 4, 5)], 320),
    ],
)
def test_small_plans(sizes_and_steps, total):
    lives = [Life(*each) for each in sizes_and_steps]
    got = expect.value("place_buffers(lives)")
    wrong = clash(lives, list(got[0]), got[1])
    expect.equal("wrong", "", wrong=wrong)
    expect.equal("place_buffers(lives)[1]", total)


@exercise("place_buffers")
@pytest.mark.parametrize("count", [3, 6, 10, 20, 40])
def test_any_plan_is_safe_and_tight(rng, count):
    for _ in range(6):
        lives = random_lives(rng, count)
        before = list(lives)
        offsets, total = expect.value("place_buffers(lives)")
        wrong = clash(lives, offsets, total)
        expect.equal("wrong", "", wrong=wrong)
        least, most = at_once(lives), greedy(lives)[1]
        expect.true(
            "total <= 1.1 * most", "the arena is about as small as largest-first makes it", total=total
        )
        expect.true("total >= least", "the arena holds what lives at once", total=total)
        expect.equal("lives == before", True, lives=lives)


@exercise("place_buffers")
@pytest.mark.parametrize("count", [5, 15, 30])
def test_the_largest_comes_first(rng, count):
    lives = [Life(64 * int(n), *sorted(map(int, rng.integers(0, 9, 2)))) for n in rng.permutation(count) + 1]
    expect.equal("tuple(place_buffers(lives))", greedy(lives))


@exercise("place_buffers")
def test_the_earlier_one_of_equals_comes_first():
    lives = [Life(64, 2, 5), Life(64, 0, 2), Life(64, 1, 1)]
    expect.equal("place_buffers(lives)[0]", [64, 0, 64])


def training():
    """A step of a small model, and its parameters."""
    seeded = Generator(3)
    model = nn.Sequential(nn.Linear(5, 16, generator=seeded), nn.GELU(), nn.Linear(16, 3, generator=seeded))
    optimizer = optim.SGD(model.parameters(), 0.1)

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, list(model.parameters())


@exercise("place_buffers")
def test_a_compiled_step_runs_in_the_plan(rng, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path))
    x, y = Tensor(rng.normal(size=(6, 5)).astype(np.float32)), Tensor(rng.integers(0, 3, 6))
    (plain, want), (step, weights) = training(), training()
    fast = compile(step)
    for _ in range(4):
        expect.close("fast(x, y).item()", plain(x, y).item(), 1e-5, 1e-6, fast=fast)
    got = [p.numpy() for p in weights]
    expect.close("got", [p.numpy() for p in want], 1e-4, 1e-5)


@exercise("place_buffers")
def test_the_compiler_looks_the_plan_over(rng):
    lives = random_lives(rng, 30)
    offsets, total = expect.value("plan_memory(lives)")
    share = total / sum(life.nbytes for life in lives)
    expect.true("share < 0.9", "buffers share memory", share=share)


@exercise("join", "place_buffers")
def test_a_model_that_is_compiled(rng, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path))
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 5))
    x = Tensor(rng.normal(size=(4, 5)).astype(np.float32))
    fast = compile(lambda x: (model(x) + x).tanh())
    with no_grad():
        expect.value("fast(x)", fast=fast)
        want = (model(x) + x).tanh().numpy()
        expect.close("fast(x).numpy()", want, 1e-5, 1e-6, fast=fast)
        wanted = [["matmul", "add", "relu"], ["matmul", "add", "add", "tanh"]]
        expect.equal("kernels(fast.graph)", wanted, fast=fast)

"""What cannot be compiled says so by name and runs eagerly, never wrongly; errors leave nothing half done."""

from __future__ import annotations

import functools
import gc
import random as python_random
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tests.acceleration.compile_helper import Runs, close, counting_runs, random, same_state
from tinytorch import nn
from tinytorch.acceleration import compiled
from tinytorch.acceleration.compiled import MOST_VARIANTS
from tinytorch.errors import ShapeError
from tinytorch.models import MLP
from tinytorch.ops import context
from tinytorch.optim import SGD
from tinytorch.tensor import Tensor, from_numpy


@pytest.fixture
def runs() -> Iterator[Runs]:
    with counting_runs() as found:
        yield found


def check(function: Any, calls: Any, reason: str, tolerance: float = 1e-5) -> Any:
    """Compare eager and compiled calls, and look for the reason why no program runs."""
    fast = tt.compile(function)
    for args in calls:
        close(fast(*args), function(*args), tolerance)
    assert any(reason in given for given in fast.reasons), fast.reasons
    return fast


# ---------------------------------------------------------------- values that Python sees


@pytest.mark.parametrize(
    ("how", "function"),
    [
        ("bool", lambda x: x * 2.0 if x.sum() > 0 else x - 1.0),
        ("item", lambda x: x * x.sum().item()),
        ("item", lambda x: x * float(x.mean())),
        ("data", lambda x: x + Tensor(np.sort(x.data))),
        ("numpy", lambda x: x + Tensor(x.numpy() * 2)),
        ("tolist", lambda x: x * max(x.tolist())),
        ("__array__", lambda x: x + Tensor(np.cumsum(np.asarray(x)))),
        ("bool index", lambda x: x[x > 0].sum()),
        ("item", lambda x: x[: int((x > 0).sum())]),
    ],
)
def test_values_that_leave_for_python(how: str, function: Any, runs: Runs) -> None:
    calls = [(random(5, seed=seed),) for seed in range(5)] + [(-tt.ones(5),), (tt.ones(5),)]
    fast = check(function, calls, how + " gives")
    assert len(runs) == 0
    with pytest.raises(tt.errors.ProgramError, match="no program yet"):
        _ = fast.graph


def test_the_reason_names_the_module_and_the_op() -> None:
    class Picky(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if bool(x.tanh().sum() > 0) else -x

    model = nn.Sequential(nn.Linear(3, 3), Picky())
    fast = tt.compile(model)
    fast(random(2, 3))
    assert "what greater made in 1 to Python" in fast.reasons[0]


def test_a_notice_is_given_once(capsys: pytest.CaptureFixture[str]) -> None:
    fast = tt.compile(lambda x: x * x.sum().item())
    for _ in range(4):
        fast(random(3))
    assert capsys.readouterr().err.count("runs eagerly") == 1


def test_values_that_do_not_depend_on_the_arguments_are_guards(runs: Runs) -> None:
    flag, scale = tt.zeros(1), Tensor([2.0])

    def function(x: Tensor) -> Tensor:
        return x * scale if bool(flag) else x - scale.item()

    fast = tt.compile(function)
    x = random(3)
    for flag_now, scale_now in [
        (0, 2),
        (0, 2),
        (1, 2),
        (1, 2),
        (1, 2),
        (1, 3),
        (0, 2),
        (0, 2),
        (0, 3),
        (0, 3),
        (0, 3),
        (1, 2),
    ]:
        flag.assign_(float(flag_now))
        scale.assign_(float(scale_now))
        close(fast(x), function(x))
    assert len(runs) >= 6


def test_a_large_guard(runs: Runs) -> None:
    table = random(40, 40)
    fast = tt.compile(lambda x: x + float(table.data.max()))
    x = random(3)
    for seed in range(4):
        close(fast(x), x + float(table.numpy().max()))
        close(fast(x), x + float(table.numpy().max()))
        table.assign_(random(40, 40, seed=seed))


def test_a_counter_that_the_function_reads_and_moves(runs: Runs) -> None:
    count = tt.zeros(())

    def function(x: Tensor) -> Tensor:
        out = x * 2.0 if int(count.item()) % 2 else x * 3.0
        with tt.no_grad():
            count.assign_(count + 1.0)
        return out

    fast = tt.compile(function)
    x = random(3)
    for i in range(25):
        close(fast(x), x * (2.0 if i % 2 else 3.0))
    assert count.item() == 25


# ---------------------------------------------------------------- things kept, and things changed


def test_tensors_that_are_kept_outside(runs: Runs) -> None:
    seen: list[Tensor] = []
    holder = SimpleNamespace(last=None)

    def appends(x: Tensor) -> Tensor:
        y = x * 2.0
        seen.append(y)
        return y + 1.0

    fast = tt.compile(appends)
    for seed in range(6):
        x = random(3, seed=seed)
        close(fast(x), x * 2.0 + 1.0)
        close(seen[-1], x * 2.0)
    assert len(seen) == 6

    def sets(x: Tensor) -> Tensor:
        holder.last = x.exp()
        return holder.last * 2.0

    fast = tt.compile(sets)
    for seed in range(6):
        x = random(3, seed=seed)
        close(fast(x), x.exp() * 2.0)
        close(holder.last, x.exp())
    assert len(runs) == 0


KEPT: list[Tensor] = []


def test_tensors_kept_where_nobody_looks(runs: Runs) -> None:
    def function(x: Tensor) -> Tensor:
        y = x.tanh()
        globals()["KEPT"].append(y)
        return y * 2.0

    KEPT.clear()
    fast = tt.compile(function)
    for seed in range(3):
        x = random(3, seed=seed)
        close(fast(x), x.tanh() * 2.0)
        close(KEPT[-1], x.tanh())
    assert len(KEPT) == 3
    assert len(runs) == 0
    assert any("keeps what tanh made" in reason for reason in fast.reasons)


def test_an_attribute_of_a_module_that_forward_sets(runs: Runs) -> None:
    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls, self.last = 0, None

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.last = x
            return x * 2.0

    model = Remembers()
    fast = tt.compile(model)
    for seed in range(5):
        x = random(3, seed=seed)
        close(fast(x), x * 2.0)
        assert model.calls == seed + 1
        assert model.last is x
    assert any("calls changes" in reason or "last changes" in reason for reason in fast.reasons)


def test_a_table_that_is_filled_at_the_first_call(runs: Runs) -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.masks: dict[int, Tensor] = {}

        def forward(self, x: Tensor) -> Tensor:
            n = x.shape[0]
            if n not in self.masks:
                self.masks[n] = Tensor(np.tril(np.ones((n, n), np.float32)))
            return self.masks[n] @ x

    model = Masked()
    fast = tt.compile(model)
    for n in (3, 3, 3, 4, 4, 4, 3, 3, 3):
        x = random(n, 2, seed=n)
        close(fast(x), model.masks[n] @ x)
    assert len(runs) >= 3
    assert not fast.reasons


def test_arguments_changed_in_place(runs: Runs) -> None:
    def function(x: Tensor, y: Tensor) -> Tensor:
        x.assign_(x + y)
        return x * 2.0

    fast = tt.compile(function)
    for _ in range(4):
        a, b = random(3), random(3)
        with tt.no_grad():
            close(fast(a, random(3, seed=1)), function(b, random(3, seed=1)))
        close(a, b)
    assert any("in place" in reason for reason in fast.reasons)
    assert len(runs) == 0


def test_views_of_what_changes(runs: Runs) -> None:
    def build() -> Any:
        base = random(4, 3)
        return base, base[1], base.T

    for reads in (0, 1, 2):
        a, b = build(), build()

        def make(parts: Any, reads: int = reads) -> Any:
            base, row, turned = parts

            def function(x: Tensor) -> Tensor:
                before = (row if reads == 1 else turned).sum()
                base.assign_(base * 0.5 + x)
                after = row.sum() if reads == 2 else base.sum()
                return before * 2.0 + after

            return function

        eager, fast = make(a), tt.compile(make(b))
        with tt.no_grad():
            for seed in range(4):
                close(fast(random(3, seed=seed)), eager(random(3, seed=seed)))
                close(b[0], a[0])
    assert len(runs) == 0


def test_a_view_that_is_taken_inside_and_read_after_the_change(runs: Runs) -> None:
    def make(state: Tensor) -> Any:
        def function(x: Tensor) -> Tensor:
            row = state[0]
            turned = state.T
            state.assign_(state * 0.5 + x)
            return row.sum() + turned[0] * 2.0

        return function

    a, b = random(4, 3), random(4, 3)
    eager, fast = make(a), tt.compile(make(b))
    with tt.no_grad():
        for seed in range(4):
            close(fast(random(3, seed=seed)), eager(random(3, seed=seed)))
    assert any("view" in reason for reason in fast.reasons)
    assert len(runs) == 0


def test_an_argument_that_is_a_view_of_what_changes(runs: Runs) -> None:
    a, b = random(4), random(4)

    def make(state: Tensor) -> Any:
        def function(x: Tensor) -> Tensor:
            state.assign_(state * 2.0 + 1.0)
            return state.sum() + x.exp().sum()

        return function

    def first(state: Tensor) -> Any:
        def function(x: Tensor) -> Any:
            y = x.exp()
            state.assign_(state * 0.5)
            return y + 1.0, (x * 1.0) if False else y.sum()

        return function

    with tt.no_grad():
        eager, fast = first(a), tt.compile(first(b))
        for i in range(8):
            free = random(3, seed=i)
            x, y = (free, free) if i < 4 else (a[1:], b[1:])
            close(fast(y), eager(x))
            close(b, a)
    assert len(runs) >= 5


def test_tensors_that_share_memory_without_being_views() -> None:
    def build() -> Any:
        flat = np.arange(6, dtype=np.float32)
        return from_numpy(flat[:4]), from_numpy(flat[2:])

    a, b = build(), build()

    def make(parts: Any) -> Any:
        def function(x: Tensor) -> Tensor:
            total = parts[1].sum()
            parts[0].assign_(x)
            return total + parts[1].sum()

        return function

    eager, fast = make(a), tt.compile(make(b))
    with tt.no_grad():
        for seed in range(4):
            close(fast(random(4, seed=seed)), eager(random(4, seed=seed)))
            close(b[1], a[1])


def test_fresh_tensors_changed_in_place(runs: Runs) -> None:
    def function(x: Tensor) -> Tensor:
        out = tt.zeros(3, 2)
        total = tt.zeros(2)
        with tt.no_grad():
            for i in range(3):
                total.assign_(total + x[i])
                out.assign_(total * 2.0, at=i)
        return out + 1.0

    fast = tt.compile(function)
    for seed in range(4):
        x = random(3, 2, seed=seed)
        close(fast(x), function(x))
    assert len(runs) == 3


# ---------------------------------------------------------------- arguments and Python values


def test_arguments_that_no_program_takes(runs: Runs) -> None:
    def function(x: Tensor, other: Any) -> Tensor:
        return x * float(sum(other))

    x = random(3)
    for other, name in ((np.ones(2), "NumPy array"), ({1.0, 2.0}, "set"), (bytearray(b"ab"), "bytearray")):
        check(function, [(x, other)] * 3, name)
    assert len(runs) == 0


def test_results_that_no_program_makes(runs: Runs) -> None:
    @dataclass
    class Output:
        logits: Tensor

    fast = tt.compile(lambda x: Output(x * 2.0))
    for seed in range(3):
        x = random(3, seed=seed)
        close(fast(x).logits, x * 2.0)
    assert any("Output" in reason for reason in fast.reasons)
    array = tt.compile(lambda x: (x, np.zeros(2)))
    for _ in range(3):
        array(random(2))[1][:] = 1.0
        assert array(random(2))[1].tolist() == [0.0, 0.0]
    assert len(runs) == 0


SCALE = 2.0


def test_globals_and_closures_that_change(runs: Runs) -> None:
    global SCALE
    offset, options = 1.0, {"power": 2, "names": ["a"]}

    def helper(x: Tensor) -> Tensor:
        return x ** options["power"] + len(options["names"])

    def function(x: Tensor) -> Tensor:
        return helper(x) * SCALE + offset

    fast = tt.compile(function)
    x = random(3)
    for i in range(15):
        if i == 3:
            SCALE = 3.0
        if i == 6:
            offset = 5.0
        if i == 9:
            options["power"] = 3
        if i == 12:
            options["names"].append("b")
        close(fast(x), function(x))
    SCALE = 2.0
    assert len(runs) >= 5


def test_attributes_of_modules_that_change(runs: Runs) -> None:
    class Scaled(nn.Module):
        kind = "double"

        def __init__(self) -> None:
            super().__init__()
            self.drop, self.config = nn.Dropout(0.0), SimpleNamespace(power=2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.drop(x) ** self.config.power
            return x * 2.0 if self.kind == "double" else x * self.factor()

        def factor(self) -> float:
            return 3.0

    model = Scaled()
    fast = tt.compile(model)
    x = random(3)
    for i in range(18):
        if i == 3:
            model.kind = "triple"
        if i == 6:
            model.config.power = 3
        if i == 9:
            model.factor = lambda: 4.0
        if i == 12:
            model.drop.p = 1.0
        if i == 15:
            model.drop.p = 0.0
            model.config = SimpleNamespace(power=1)
        close(fast(x), model(x))
    assert len(runs) >= 6


def test_numpy_arrays_in_reach(runs: Runs) -> None:
    table, large = np.ones(3, np.float32), np.zeros(1 << 19, np.float32)
    fast = tt.compile(lambda x: x * Tensor(table))
    x = random(3)
    for i in range(9):
        if i % 3 == 0:
            table[:] = i
        close(fast(x), x * Tensor(table))
    assert len(runs) >= 2
    before = len(runs)
    check(lambda x: x * Tensor(large[:3]), [(x,)] * 3, "NumPy array large of 2.0 MiB")
    assert len(runs) == before
    shared = tt.compile(lambda x: x * from_numpy(table))
    for i in range(4):
        close(shared(x), x * Tensor(table))
        table[:] = i + 0.5


def test_random_numbers_that_are_not_ours(runs: Runs) -> None:
    rng, other = np.random.default_rng(0), python_random.Random(0)
    x = random(3)
    for draw in (
        lambda x: x * float(np.random.rand()),
        lambda x: x * float(rng.random()),
        lambda x: x * other.random(),
        lambda x: x * python_random.random(),
        lambda x: x + Tensor(rng.standard_normal(3)).to("float32"),
    ):
        fast = tt.compile(draw)
        values = {tuple(fast(x).tolist()) for _ in range(6)}
        assert len(values) == 6
        assert any("random numbers" in reason for reason in fast.reasons)
    assert len(runs) == 0


def test_iterators(runs: Runs) -> None:
    batches = iter([random(3, seed=seed) for seed in range(10)])
    fast = tt.compile(lambda x: x + next(batches))
    for seed in range(4):
        close(fast(tt.zeros(3)), random(3, seed=seed))
    assert any("iterator batches" in reason for reason in fast.reasons)


def test_backward_through_a_graph_from_outside(runs: Runs) -> None:
    weight = nn.Parameter(random(3))

    def outer() -> Tensor:
        return weight * 2.0

    def function(h: Tensor) -> Tensor:
        weight.grad = None
        (h * h).sum().backward()
        return h.detach()

    fast = tt.compile(function)
    for _ in range(4):
        want = function(outer())
        grad = weight.grad
        close(fast(outer()), want)
        assert weight.grad is not None
        assert grad is not None
        close(weight.grad, grad)
    h = outer()
    for captured in (tt.compile(lambda x: x * h), tt.compile(lambda x: h.detach() * 0.0 + x * h)):
        for seed in range(3):
            weight.grad = None
            captured(random(3, seed=seed)).sum().backward(retain_graph=True)
            assert weight.grad is not None
            close(weight.grad, random(3, seed=seed) * 2.0)
    assert len(runs) == 0


def test_backward_and_a_result_with_a_graph(runs: Runs) -> None:
    first, second = nn.Parameter(random(3)), nn.Parameter(random(3, seed=1))

    def function(x: Tensor) -> Tensor:
        first.grad = None
        (first * x).sum().backward()
        return second * x

    fast = tt.compile(function)
    for _ in range(4):
        second.grad = None
        x = random(3, seed=4)
        fast(x).sum().backward()
        assert second.grad is not None
        assert first.grad is not None
        close(second.grad, x)
        close(first.grad, x)
    assert any("detach()" in reason for reason in fast.reasons)


def test_leaves_that_are_made_inside(runs: Runs) -> None:
    def fresh(x: Tensor) -> Any:
        z = x.detach().requires_grad_()
        return (z * z).sum(), z

    def returned(x: Tensor) -> Tensor:
        return tt.zeros(3, requires_grad=True)

    for _ in range(3):
        loss, z = tt.compile(fresh)(random(3))
        loss.backward()
        assert z.grad is not None
    fast, again = tt.compile(fresh), tt.compile(returned)
    for _ in range(3):
        loss, z = fast(random(3))
        loss.backward()
        assert z.grad is not None
        close(z.grad, random(3) * 2.0)
        assert again(random(3)).requires_grad
    assert len(runs) == 0
    penalty = tt.compile(inner)
    for seed in range(3):
        x = random(3, seed=seed)
        close(penalty(x), x * 2.0)
    assert len(runs) == 2


def inner(x: Tensor) -> Tensor:
    z = x.detach().requires_grad_()
    (g,) = tt.grad((z**2).sum(), [z])
    return g


def test_what_the_function_asks_of_tensors_and_modules(runs: Runs) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

    def freezes(x: Tensor) -> Tensor:
        out = model(x)
        model[0].weight.requires_grad_(not model[0].weight.requires_grad)
        return out

    fast = tt.compile(freezes)
    for i in range(6):
        close(fast(random(2, 3)), model(random(2, 3)))
        assert model[0].weight.requires_grad == (i % 2 == 1)
    assert any("requires_grad" in reason for reason in fast.reasons)

    def switches(x: Tensor) -> Tensor:
        model.train(not model.training)
        return model(x)

    fast = tt.compile(switches)
    for i in range(6):
        fast(random(2, 3))
        assert model.training == (i % 2 == 1)
    assert any("model.training changes" in reason for reason in fast.reasons)
    assert len(runs) == 0

    def evaluates(x: Tensor) -> Tensor:
        model.eval()
        out = model(x)
        model.train()
        return out

    model.train()
    fast = tt.compile(evaluates)
    for _ in range(3):
        close(fast(random(2, 3)), model(random(2, 3)))
    assert len(runs) == 2


def test_a_tensor_without_data_outside_of_meta(runs: Runs) -> None:
    fast = tt.compile(lambda x: x * 2.0)
    for _ in range(3):
        close(fast(tt.ones(3)), tt.full((3,), 2.0))
    with tt.meta():
        blank = tt.zeros(3)
    with pytest.raises(tt.errors.MetaError):
        fast(blank)
    close(fast(tt.ones(3)), tt.full((3,), 2.0))


def test_helpers_behind_a_cache(runs: Runs) -> None:
    options = {"scale": 2.0}

    @functools.lru_cache
    def mask(n: int) -> Tensor:
        return Tensor(np.tril(np.ones((n, n), np.float32)))

    @functools.lru_cache
    def scaled(x: Tensor) -> Tensor:
        return x * options["scale"]

    fast = tt.compile(lambda x: scaled(mask(3) @ x))
    for i in range(9):
        x = random(3, 2, seed=i)
        options["scale"] = float(i // 3 + 1)
        close(fast(x), (mask(3) @ x) * options["scale"])


def test_arguments_are_not_kept_alive(runs: Runs) -> None:
    model = MLP((4, 3))
    fast = tt.compile(model)
    x, y = random(2, 4).requires_grad_(), random(2, 4)
    for given in (x, y, x, y):
        fast(given)
    gone = [weakref.ref(x), weakref.ref(y), weakref.ref(fast(x))]
    del x, y, given
    gc.collect()
    assert all(reference() is None for reference in gone)


# ---------------------------------------------------------------- bounds


def test_shapes_without_end(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    fast = tt.compile(lambda x: (x * 2.0).sum())
    for n in range(1, MOST_VARIANTS + 6):
        close(fast(tt.ones(n)), Tensor(2.0 * n))
    assert len(runs) == 0
    assert capsys.readouterr().err.count("kinds of calls") == 1
    for n in (1, 5, MOST_VARIANTS):
        close(fast(tt.ones(n)), Tensor(2.0 * n))
    assert len(runs) == 3
    close(fast(tt.ones(MOST_VARIANTS + 2)), Tensor(2.0 * (MOST_VARIANTS + 2)))
    assert len(runs) == 3


def test_numbers_without_end_are_not_compiled_one_by_one(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    original = compiled.make_runner

    def counting(graph: Any) -> Any:
        made.append(graph)
        return original(graph)

    monkeypatch.setattr(compiled, "make_runner", counting)
    fast = tt.compile(lambda x, step: x * step)
    x = random(3)
    for step in range(40):
        close(fast(x, step), x * step)
    assert len(made) == 1
    assert any("kinds of calls" in reason for reason in fast.reasons)
    close(fast(x, 0), x * 0)
    assert len(runs) == 1


# ---------------------------------------------------------------- errors


def test_an_error_in_the_function_leaves_nothing_behind(runs: Runs) -> None:
    model = MLP((4, 3))
    optimizer = SGD(model.parameters(), lr=0.1)
    fail = [True]

    def step(x: Tensor) -> Tensor:
        optimizer.zero_grad()
        value = (model(x) ** 2).mean()
        if fail[0]:
            raise KeyError("from the function")
        value.backward()
        optimizer.step()
        return value

    fast = tt.compile(step)
    x = random(2, 4)
    with pytest.raises(KeyError, match="from the function"):
        fast(x)
    assert context.state().observers == ()
    assert context.state().grad
    assert not context.state().backward
    with pytest.raises(ShapeError):
        fast(random(2, 5))
    fail[0] = False
    twin = MLP((4, 3))
    twin.load_state_dict(model.state_dict())
    other = SGD(twin.parameters(), lr=0.1)
    for _ in range(5):
        want = (twin(x) ** 2).mean()
        other.zero_grad()
        want.backward()
        other.step()
        close(fast(x), want)
        same_state(model, twin)
    assert len(runs) == 3
    fail[0] = True
    with pytest.raises(KeyError):
        fast(x)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_compilation(error: Any, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = MLP((4, 3), generator=tt.Generator(1)), MLP((4, 3), generator=tt.Generator(1))

    def make(model: Any) -> Any:
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x: Tensor) -> Tensor:
            optimizer.zero_grad()
            value = (model(x) ** 2).mean()
            value.backward()
            optimizer.step()
            return value

        return step

    eager, step, fast = make(a), tt.compile(make(b)), tt.compile(b)
    x = random(2, 4)
    original = compiled.make_runner

    def interrupted(graph: Any) -> Any:
        raise error

    close(step(x), eager(x))
    monkeypatch.setattr(compiled, "make_runner", interrupted)
    for call in (step, fast):
        with pytest.raises(error):
            call(x)
    eager(x)  # the call that was interrupted had run, and its result is lost
    same_state(b, a)
    monkeypatch.setattr(compiled, "make_runner", original)
    for _ in range(4):
        close(step(x), eager(x))
        same_state(b, a)
        close(fast(x), a(x))
    assert len(runs) >= 5


def test_an_interrupted_backward_compilation(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLP((4, 3))
    fast = tt.compile(model)
    x = random(2, 4)
    fast(x)
    out = fast(x)
    assert len(runs) == 1
    backward = fast._variants[0].backward

    def interrupted(graph: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(backward, "_make", interrupted)
    with pytest.raises(KeyboardInterrupt):
        out.sum().backward()
    monkeypatch.undo()
    assert context.state().grad
    assert not context.state().backward
    model.zero_grad()
    fast(x).sum().backward()
    got = [p.grad for p in model.parameters()]
    model.zero_grad()
    model(x).sum().backward()
    close(got, [p.grad for p in model.parameters()])

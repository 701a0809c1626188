"""A compiled program under observation: what it shows of its inside, and that watching changes nothing."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, models, no_grad
from tinytorch.acceleration.compiled import compile
from tinytorch.acceleration.native.engine import Code
from tinytorch.errors import ShapeError
from tinytorch.models import GPT, MLP
from tinytorch.nn import CrossEntropyLoss
from tinytorch.ops.context import OpEvent, observe
from tinytorch.ops.elementwise import Relu, relu, sin
from tinytorch.ops.meta import NoData
from tinytorch.optim import SGD
from tinytorch.profiling import Profile, profile_model
from tinytorch.profiling.context import Settings, profile_subject
from tinytorch.profiling.profile import Roof
from tinytorch.profiling.subject import Subject
from tinytorch.profiling.trace import Key, OpCosts, OpTimer, Pass
from tinytorch.random import Generator
from tinytorch.training.diagnose import explain

pytest.importorskip("llvmlite")
SHAPES = {"context": 16, "width": 32, "layers": 2, "heads": 2}
PLAIN = {"runs": 3, "memory": False, "roof": False}


@pytest.fixture(autouse=True)
def quiet() -> object:
    tinytorch.console.set_quiet(True)
    yield
    tinytorch.console.set_quiet(False)


def model_of(name: str) -> tuple[Any, Tensor]:
    """A small model, and a batch for it."""
    generator = Generator(0)
    if name == "gpt":
        return GPT(**SHAPES, generator=generator), generator.randint(0, 256, (2, 16))
    if name == "cnn":
        return models.build("cnn", generator=generator), generator.rand(3, 1, 28, 28)
    return MLP((20, 32, 16, 5), generator=generator), generator.rand(7, 20)


def by_path(profile: Profile) -> dict[str, int]:
    """FLOPs of matrix products by module path, where there are any."""
    return {row.path: row.matmul_flops for row in profile.modules if row.matmul_flops}


class Recorder:
    """An observer that keeps every event."""

    def __init__(self) -> None:
        self.events: list[OpEvent] = []

    def on_op(self, event: OpEvent) -> None:
        self.events.append(event)

    def on_exit(self, tensor: Tensor, how: str) -> None:
        """Values may leave."""


def watched(call: Callable[[], Any]) -> tuple[list[OpEvent], Any]:
    recorder = Recorder()
    with observe(recorder):
        result = call()
    return recorder.events, result


# ---------------------------------------------------------------- profiles


@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt"])
def test_the_profile_of_a_compiled_pass_has_the_rows_and_the_work_of_the_eager_one(name: str) -> None:
    model, x = model_of(name)
    model.eval()
    fast = compile(model)
    with no_grad():
        eager = profile_model(model, (x,), **PLAIN)
        for profile in (profile_model(fast, (x,), **PLAIN), profile_model(fast, (x,), **PLAIN)):
            assert by_path(profile) == by_path(eager)
            assert profile.matmul_flops == eager.matmul_flops > 0
            assert len(by_path(eager)) > 2
            assert profile.coverage == 1
            assert profile.bytes < eager.bytes  # what is fused is not written and read again
            fused = [row for row in profile.ops if "+" in row.name]
            assert fused
            assert all(row.seconds.value > 0 for row in profile.ops)
            assert not any(row.backward_seconds for row in profile.ops)


@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt"])
def test_gradients_are_filed_under_their_modules_and_marked(name: str) -> None:
    model, x = model_of(name)
    fast = compile(model)
    fast(x)
    eager = profile_model(model, (x,), backward=True, **PLAIN)
    found = profile_model(fast, (x,), backward=True, **PLAIN)
    assert by_path(found) == by_path(eager)
    assert found.matmul_flops == eager.matmul_flops > 0
    with_products = {row.path for row in found.modules if row.matmul_flops}
    assert {row.path for row in found.modules if row.backward_seconds} >= with_products
    assert all(parameter.grad is None for parameter in model.parameters())


def test_gradients_that_were_there_stay_as_they_were() -> None:
    model, x = model_of("mlp")
    fast = compile(model)
    fast(x).sum().backward()
    before = {name: parameter.grad for name, parameter in model.named_parameters()}
    values = {name: grad.numpy() for name, grad in before.items()}
    profile_model(fast, (x,), backward=True, **PLAIN)
    for name, parameter in model.named_parameters():
        assert parameter.grad is before[name]
        np.testing.assert_array_equal(parameter.grad.numpy(), values[name])


@pytest.mark.parametrize("name", ["mlp", "gpt"])
def test_a_whole_training_step_shows_forward_backward_and_update(name: str) -> None:
    model, x = model_of(name)
    labels = Generator(1).randint(0, 5, x.shape if name == "gpt" else (7,))
    optimizer, loss_of = SGD(model.parameters(), lr=0.1), CrossEntropyLoss()

    def step() -> Tensor:
        optimizer.zero_grad()
        logits = model(x)
        loss = loss_of(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    eager = OpCosts()
    eager.run(step)
    fast = compile(step)
    for _ in range(3):
        fast()
    compiled = OpCosts()
    compiled.run(fast)
    assert any("+" in key.op for key, _ in compiled.rows)
    found: list[dict[tuple[str, bool], int]] = []
    for costs in (eager, compiled):
        sums: defaultdict[tuple[str, bool], int] = defaultdict(int)
        for key, cost in costs.rows:
            if cost.matmul_flops:
                sums[key.path, key.backward] += cost.matmul_flops
        found.append(dict(sums))
    assert found[0] == found[1]
    assert {backward for _, backward in found[1]} == {True, False}


def test_kernels_are_held_to_the_roof(monkeypatch: pytest.MonkeyPatch) -> None:
    roof = Roof(1e11, {"memory": 1e10}, 1)
    monkeypatch.setattr("tinytorch.profiling.context.measure_roof", lambda threads: roof)
    model, x = model_of("mlp")
    fast = compile(model)
    with no_grad():
        fast(x)
        subject = Subject("MLP, compiled", lambda: fast(x), model, (x,), {})
        profile, _ = profile_subject(subject, Settings(runs=3, memory=False))
    rows = {row.path: row for row in profile.modules if row.calls}
    assert list(rows) == ["layers.0", "layers.2", "layers.4"]
    for row in rows.values():
        least = max(row.flops / roof.flops, row.bytes / 1e10)  # type: ignore[operator]
        assert row.roof == pytest.approx(least / row.self_seconds.value)
        assert row.kind == "Linear"
    assert "kernels" in repr(profile) or "roof" in repr(profile)


def test_memory_is_measured_beside_a_program() -> None:
    model, x = model_of("mlp")
    fast = compile(model)
    with no_grad():
        fast(x)
        profile = profile_model(fast, (x,), runs=3, roof=False)
    assert profile.memory is not None
    assert profile.memory.pattern in ("steady", "spiky")
    assert {m.path for m in profile.memory.modules} >= {"layers.0", "layers.2"}


# ---------------------------------------------------------------- times


def test_each_op_has_its_own_time_and_all_add_up_to_the_pass() -> None:
    a, b = Tensor(np.ones((384, 384), np.float32)), Tensor(np.ones(8, np.float32))

    def small_large_small(b: Tensor, a: Tensor) -> tuple[Tensor, ...]:
        first = sin(relu(b))  # no kernel: left to NumPy, and so between two native parts
        return first, a @ a @ a @ a, b.exp().sum()

    fast = compile(small_large_small)
    shares, kinds = [], set()
    with no_grad():
        for _ in range(21):
            fast(b, a)
            one, _ = OpTimer().run(lambda: fast(b, a))
            whole, kernels = one.self_times()
            assert sum(whole.values()) == pytest.approx(one.seconds)
            assert set(kernels) <= set(whole)
            assert all(seconds >= 0 for seconds in (*whole.values(), *kernels.values()))
            assert sum(kernels.values()) <= one.seconds * 1.001
            shares.append(whole[Key("", "matmul", False)] / one.seconds)
            kinds = {record.op.name for record in one.records}
    assert {"matmul", "sin", "relu"} <= kinds
    assert any("sum" in kind for kind in kinds)
    assert np.median(shares) > 0.5  # 340 MFLOP beside a few dozen


def test_kernel_times_are_those_of_the_run_not_of_the_watching() -> None:
    """A watcher that dawdles at each event does not make the ops slow."""
    model, x = model_of("mlp")
    fast = compile(model)

    class Slow(Recorder):
        def on_op(self, event: OpEvent) -> None:
            super().on_op(event)
            time.sleep(0.02)

    with no_grad():
        fast(x)
        timer = OpTimer(Slow())
        timer.run(lambda: fast(x))
        passes = [timer.run(lambda: fast(x))[0] for _ in range(7)]
    spent = np.median([one.seconds for one in passes])
    length = np.median([one.end - one.start for one in passes]) * 1e-9
    assert length > 3 * 0.02
    assert spent < 0.5 * length


def test_a_call_that_is_watched_looks_for_no_function(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, x = compile(MLP((6, 5))), tinytorch.ones(2, 6)
    with no_grad():
        fast(x)
        OpTimer().run(lambda: fast(x))

        def found(self: Code, name: str) -> Callable[..., object]:
            raise AssertionError(
                "to look one up takes longer than a small program, and counted as kernels' time"
            )

        monkeypatch.setattr(Code, "function", found)
        OpTimer().run(lambda: fast(x))


def test_events_that_come_late_are_noted_as_they_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, on a clock of ours: two ops that are seen at once, then a batch that is shown at its end."""
    now = iter([0, 14, 15, 60, 61, 62, 63, 64, 65, 90])
    monkeypatch.setattr("tinytorch.profiling.trace.time.perf_counter_ns", lambda: next(now))
    timer = OpTimer()
    x = (Tensor([1.0]),)

    def call() -> None:
        timer.on_op(OpEvent(Relu(), x, x, "now", False, 10, 12))
        for path, start, end in (("a", 20, 25), ("b", 25, 45), ("c", 45, 58)):
            timer.on_op(OpEvent(Relu(), x, x, path, path == "c", start, end))

    one, _ = timer.run(call)
    whole, kernels = (
        {key.path: round(seconds * 1e9) for key, seconds in times.items()} for times in one.self_times()
    )
    assert whole == {"now": 14, "a": 10, "b": 20, "c": 13, "": 25}
    assert kernels == {"now": 2, "a": 5, "b": 20, "c": 13}
    assert round(one.seconds * 1e9) == 14 + 10 + 20 + 13 + 25
    assert isinstance(one, Pass)


# ---------------------------------------------------------------- what observers are shown


def test_events_show_what_lives_outside_and_no_data_inside() -> None:
    model, x = model_of("mlp")
    fast = compile(model)
    with no_grad():
        fast(x)  # written down from a run of NumPy, whose sums may go in another order
        want = fast(x).numpy()
        events, out = watched(lambda: fast(x))
    assert [event.path for event in events] == ["layers.0", "layers.2", "layers.4"]
    weights = {id(parameter) for parameter in model.parameters()}
    assert {id(t) for event in events for t in event.inputs} >= weights - {
        id(t) for t in (model.layers[0].weight, model.layers[2].weight, model.layers[4].weight)
    }  # the weights themselves are seen through a view
    np.testing.assert_array_equal(out.numpy(), want)
    np.testing.assert_array_equal(events[-1].outputs[0].numpy().reshape(want.shape), want)
    assert isinstance(events[0].outputs[0]._array, NoData)
    assert events[0].outputs[0].shape == (7, 32)
    for before, after in itertools.pairwise(events):
        assert before.start <= before.end <= after.start <= after.end


def test_watching_changes_no_result_and_a_state_once() -> None:
    def run(times: int, seen: int) -> list[np.ndarray]:
        model, x = model_of("mlp")
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step() -> Tensor:
            optimizer.zero_grad()
            loss = (model(x) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        fast = compile(step)
        for i in range(times):
            if i >= seen:
                events, _ = watched(fast)
                assert any("+" in event.op.name for event in events)
            else:
                fast()
        return [parameter.numpy() for parameter in model.parameters()]

    for plain, observed in zip(run(8, 8), run(8, 4), strict=True):
        np.testing.assert_array_equal(plain, observed)


def test_weights_stay_live_under_observation() -> None:
    model, x = model_of("mlp")
    fast = compile(model)
    with no_grad():
        fast(x)
        watched(lambda: fast(x))
        for parameter in model.parameters():
            parameter.assign_(parameter * 0.5)
        _, out = watched(lambda: fast(x))
        np.testing.assert_allclose(out.numpy(), model(x).numpy(), rtol=1e-5, atol=1e-6)


def test_a_refused_input_is_the_ops_own_error_and_the_next_call_works() -> None:
    model, ids = model_of("gpt")
    fast = compile(model)
    with no_grad():
        fast(ids)
        for _ in range(2):
            with pytest.raises(ShapeError, match="300"):
                watched(lambda: fast(ids + 300 - ids))
            events, out = watched(lambda: fast(ids))
            np.testing.assert_allclose(out.numpy(), model(ids).numpy(), rtol=1e-4, atol=1e-5)
            assert events[0].op.name == "lookup"


def test_the_search_for_values_that_are_not_finite_can_watch_a_program() -> None:
    model, x = model_of("mlp")
    fast = compile(model)
    with no_grad():
        fast(x)
        model.layers[4].bias.assign_(float("nan"))
    assert explain(model, lambda: fast(x), (x,)) == (
        "1 parameters were not finite before it: layers.4.bias; "
        "first output not finite: matmul+add in 'layers.4'"
    )

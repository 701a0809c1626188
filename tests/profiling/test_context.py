"""ProfilerContext: it reports what ran, leaves nothing behind, and refuses what it cannot measure."""

import gc
import itertools
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import Tensor, nn
from tinytorch.errors import ProfilingError, ShapeError
from tinytorch.models import GPT, MLP
from tinytorch.ops.base import Op
from tinytorch.ops.context import state
from tinytorch.ops.spec import Spec
from tinytorch.profiling.context import (
    ONE_AT_A_TIME,
    ProfilerContext,
    Settings,
    profile_model,
    profile_subject,
)
from tinytorch.profiling.counting.flops import FLOPCounter
from tinytorch.profiling.memory.profiler import memory_at_rest
from tinytorch.profiling.subject import subject_of
from tinytorch.random import default_generator

QUICK = {"runs": 6, "warmup": 1, "roof": False}


def small_gpt() -> GPT:
    return GPT(vocab_size=11, context=8, width=16, layers=2, heads=2)


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Any:
    yield
    assert not tracemalloc.is_tracing()
    assert gc.isenabled()
    assert not state().observers
    assert state().path == ""
    assert ONE_AT_A_TIME.acquire(blocking=False)
    ONE_AT_A_TIME.release()


# ---------------------------------------------------------------- what is found


def test_the_report_appears_on_leaving_and_the_result_is_the_first_calls(
    capsys: pytest.CaptureFixture[str],
) -> None:
    numbers = itertools.count()
    with ProfilerContext("MyModel", **QUICK) as profiler:
        result = profiler.profile_function(lambda: next(numbers))
        assert capsys.readouterr().out == ""
    assert result == 0
    out = capsys.readouterr().out
    assert "MyModel" in out
    assert "p50" in out
    assert all(len(line) <= 100 for line in out.splitlines())


def test_a_models_work_is_that_of_the_counter_and_its_tree_that_of_the_model() -> None:
    model = small_gpt().eval()
    with tt.no_grad():
        profile = profile_model(model, **QUICK)
        counted = FLOPCounter("all").count(model)
    assert profile.flops == counted.flops
    assert profile.matmul_flops == counted.matmul_flops
    assert profile.bytes == counted.bytes
    assert (profile.coverage, profile.uncounted) == (1.0, ())
    assert {row.path for row in profile.modules} == {row.path for row in counted.by_module}
    in_all = np.sum([profile.passes[row.path] for row in profile.modules], axis=0)
    assert profile.modules[0].total_seconds.value == pytest.approx(float(np.median(in_all)))
    assert [row.name for row in profile.ops].count("linear") == 1
    assert (profile.kind, profile.mode) == ("TinyTorch model", "forward")
    assert profile.configuration["inputs"] == "int64[1, 8]"
    assert profile.configuration["recorded for backward"] == "no"


class Strange(Op):
    """An op that says nothing of its cost."""

    def infer(self, a: Spec) -> Spec:
        return Spec(a.shape, a.dtype)

    def forward(self, a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return a.copy()


def test_an_op_without_a_rule_is_named_and_leaves_the_flops_unknown() -> None:
    x = tt.ones(4, 5)
    with tt.no_grad():
        subject = subject_of(lambda: Strange()(x @ x.mT) + 1)
        profile, _ = profile_subject(subject, Settings(6, 1, roof=False))
    assert (profile.flops, profile.matmul_flops, profile.uncounted) == (None, 160, ("strange",))
    ops = sum(row.calls for row in profile.ops)
    assert ops >= 3
    assert profile.coverage == pytest.approx(1 - 1 / ops)
    assert "strange" in repr(profile)
    assert len(profile.timeline) == sum(row.calls for row in profile.modules)


def test_times_are_of_as_many_passes_as_asked_for() -> None:
    calls: list[int] = []
    x = tt.ones(3)

    def work() -> Tensor:
        calls.append(1)
        return x + 1

    subject = subject_of(work)
    profile, result = profile_subject(subject, Settings(runs=7, warmup=2, memory=False, roof=False))
    assert profile.timing is not None
    assert len(profile.timing.samples) == 7
    assert len(calls) == 1 + 2 + 7 + Settings(runs=7).watched
    assert all(len(times) == 20 for times in profile.passes.values())
    assert profile.overhead is not None
    assert result.tolist() == [2, 2, 2]
    assert profile.memory is None


def test_backward_counts_gradients_and_leaves_those_of_the_user_alone() -> None:
    model = MLP((4, 8, 3))
    mine = tt.ones(8, 4)
    model.layers[0].weight.grad = mine
    profile = profile_model(model, backward=True, **QUICK)
    assert profile.mode == "backward"
    assert model.layers[0].weight.grad is mine
    assert model.layers[2].weight.grad is None
    counted = FLOPCounter("all").count(model, backward=True)
    assert profile.flops == counted.flops
    rows = {row.path: row for row in profile.modules}
    assert 0 < rows["layers.0"].backward_seconds < rows["layers.0"].self_seconds.value
    with pytest.raises(ProfilingError, match="returns int; backward needs a Tensor"):
        profile_model(lambda: 3, backward=True, **QUICK)


def test_a_plain_callable_has_functions_instead_of_modules() -> None:
    def slow_part() -> int:
        return sum(i * i for i in range(20_000))

    def work() -> int:
        return slow_part() + 1

    profile = profile_model(work, **QUICK)
    assert profile.modules == profile.ops == ()
    assert profile.kind == profile.mode == "callable"
    assert any("slow_part" in spot.function for spot in profile.hotspots)


def test_one_run_runs_once_and_says_what_that_cannot_show() -> None:
    calls: list[int] = []
    model = small_gpt().eval()

    def work() -> Tensor:
        calls.append(1)
        return model(model.example_input)

    with tt.no_grad(), ProfilerContext(runs=1, roof=False, report=False) as profiler:
        result = profiler.profile_function(work)
        counted = FLOPCounter("all").count(model)
    profile = profiler.profile
    assert calls == [1]
    assert result.shape == (1, 8, 11)
    assert "one run: no intervals" in profile.notes[0]
    assert profile.timing is not None
    assert len(profile.timing.samples) == 1
    assert profile.timing.p99.high is None
    assert profile.memory is profile.overhead is None
    assert profile.flops == counted.flops
    assert "one run" in repr(profile)


# ---------------------------------------------------------------- what is left as it was


def test_statistics_and_random_streams_are_those_after_the_first_call() -> None:
    def net() -> nn.Sequential:
        conv = nn.Conv2d(3, 4, 3, generator=tt.random.Generator(1))
        return nn.Sequential(conv, nn.BatchNorm2d(4), nn.Dropout(0.5))

    profiled, plain = net(), net()
    x = tt.random.Generator(2).rand(2, 3, 6, 6)
    tt.manual_seed(5)
    with tt.no_grad():
        expected = plain(x)
    stream = default_generator.state.numpy().copy()
    tt.manual_seed(5)
    with tt.no_grad(), ProfilerContext(report=False, **QUICK) as profiler:
        result = profiler.profile_function(profiled.forward, args=(x,))
    np.testing.assert_array_equal(result.numpy(), expected.numpy())
    np.testing.assert_array_equal(default_generator.state.numpy(), stream)
    for name, tensor in profiled.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), plain.state_dict()[name].numpy())


@pytest.mark.parametrize("call", [1, 2, 5, 12, 30])
@pytest.mark.parametrize("backward", [False, True])
def test_an_error_passes_through_wherever_it_comes(call: int, backward: bool) -> None:
    calls: list[int] = []
    w = tt.ones(3, requires_grad=True)

    def work() -> Tensor:
        calls.append(1)
        if len(calls) == call:
            raise ZeroDivisionError("mine")
        return w * 2

    with pytest.raises(ZeroDivisionError, match="mine"):
        profile_model(work, backward=backward, runs=20, warmup=2, roof=False)
    assert len(calls) == call


def test_no_report_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ShapeError), ProfilerContext("broken", **QUICK) as profiler:
        profiler.profile_function(MLP((4, 3)), args=(tt.ones(2, 5),))
    assert capsys.readouterr().out == ""


# ---------------------------------------------------------------- what is refused


def test_settings_that_make_no_sense() -> None:
    for bad in ({"runs": 0}, {"runs": -1}, {"warmup": -1}):
        with pytest.raises(ProfilingError, match="expected runs >= 1 and warmup >= 0"):
            ProfilerContext(**bad)  # type: ignore[arg-type]
    with pytest.raises(ProfilingError, match="Linear has no example_input"):
        profile_model(nn.Linear(3, 2))


def test_a_context_is_entered_once_at_a_time_and_can_be_used_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    context = ProfilerContext("again", **QUICK)
    with pytest.raises(ProfilingError, match="nothing was profiled yet"):
        _ = context.profile
    for _ in range(2):
        with context as profiler:
            with pytest.raises(ProfilingError, match="'again' is entered already"):
                context.__enter__()
            profiler.profile_function(sum, args=((1, 2),))
        assert len(context.profiles) == 1
    capsys.readouterr()
    with context:
        pass
    assert capsys.readouterr().out == "again: nothing was profiled\n"


def test_contexts_may_be_nested_as_long_as_profiles_are_not() -> None:
    inner = ProfilerContext("inner", report=False, **QUICK)

    def work() -> None:
        inner.profile_function(sum, args=((1, 2),))

    with ProfilerContext("outer", report=False, **QUICK) as outer, inner:
        inner.profile_function(sum, args=((1, 2),))
        outer.profile_function(sum, args=((1, 2),))
        with pytest.raises(ProfilingError, match="another profile is being taken"):
            outer.profile_function(work)
    assert (len(outer.profiles), len(inner.profiles)) == (1, 1)


def in_thread(call: Callable[[], object]) -> list[BaseException | object]:
    found: list[BaseException | object] = []

    def run() -> None:
        try:
            found.append(call())
        except ProfilingError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found


def test_one_profile_at_a_time_in_a_process_from_any_thread() -> None:
    model = MLP((4, 3))
    (profile,) = in_thread(lambda: profile_model(model, **QUICK))
    assert profile.flops == 27  # type: ignore[union-attr]
    refused: list[Any] = []

    def work() -> int:
        if not refused:
            refused.extend(in_thread(lambda: profile_model(model, **QUICK)))
        return 1

    profile_model(work, **QUICK)
    assert isinstance(refused[0], ProfilingError)
    assert "another thread" in str(refused[0])


# ---------------------------------------------------------------- what a fresh reader found


def test_a_part_of_a_model_is_the_root_of_its_own_profile() -> None:
    block = small_gpt().blocks[0]
    x = tt.random.Generator(0).rand(1, 8, 16)
    profiles = [profile_model(target, (x,), **QUICK) for target in (block, block.forward)]
    for profile in profiles:
        rows = {row.path: row for row in profile.modules}
        assert rows[""].kind == "TransformerBlock"
        assert rows["attn.q_proj"].kind == "Linear"
        assert rows["attn.q_proj"].parameter_bytes == 4 * (16 * 16 + 16)
        assert rows["attn.q_proj"].peak_bytes
    assert [row.path for row in profiles[0].modules] == [row.path for row in profiles[1].modules]


def test_gradients_of_all_leaves_are_cleared_before_each_pass_and_given_back() -> None:
    x, w = tt.ones(2, 4, requires_grad=True), tt.ones(3, requires_grad=True)
    mine = tt.ones(3)
    w.grad = mine
    profile = profile_model(MLP((4, 3)), (x,), backward=True, **QUICK)
    assert x.grad is None
    assert [row.name for row in profile.ops].count("add") == 0  # nothing was added to older gradients
    assert all(one.flops is not None for one in profile.timeline)
    sums = profile_model(lambda: (w * w).sum(), backward=True, **QUICK)
    assert w.grad is mine
    assert "add" not in {row.name for row in sums.ops} or sums.flops == FLOPCounter("all").count(
        lambda: (w * w).sum(), backward=True
    )
    assert all(one.flops is not None for one in sums.timeline)


def test_passes_run_without_the_collector_and_watched_ones_are_strewn_among_the_others() -> None:
    seen: list[tuple[bool, bool]] = []
    x = tt.ones(3)

    def work() -> Tensor:
        seen.append((gc.isenabled(), bool(state().observers)))
        return x + 1

    profile_model(work, runs=20, warmup=2, memory=False, roof=False)
    timed = seen[1 + 2 :]
    assert len(timed) == 40
    assert not any(enabled for enabled, _ in timed)
    watched = [watched for _, watched in timed]
    assert sum(watched) == 20
    changes = sum(a != b for a, b in itertools.pairwise(watched))
    assert changes > 8  # in blocks there would be one; at random about 20


def test_nothing_is_profiled_under_meta_nor_while_memory_is_measured() -> None:
    model = MLP((4, 3))
    with tt.meta(), pytest.raises(ProfilingError, match="under meta"):
        profile_model(model, **QUICK)
    with memory_at_rest():
        (refused,) = in_thread(lambda: profile_model(model, **QUICK))
    assert isinstance(refused, ProfilingError)
    assert "another measurement runs" in str(refused)


@pytest.mark.parametrize("bad", [{"runs": 2.5}, {"runs": True}, {"warmup": 1.0}])
def test_numbers_of_runs_are_whole(bad: dict[str, Any]) -> None:
    with pytest.raises(ProfilingError, match="expected runs >= 1"):
        ProfilerContext(**bad)

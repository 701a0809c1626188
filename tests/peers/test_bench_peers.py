"""The benchmark's peers compute what our eager mode computes, and its figures follow from what it times."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

import tinytorch as tt
from benchmarks import scaling
from benchmarks.compiled import agreement, measure, ours, tables, working_memory
from benchmarks.compiled.__main__ import parser
from benchmarks.compiled.workloads import UNTUNED, WORKLOADS, Workload, workload
from benchmarks.interleave import Ratio, calls_for, interleave, per_call, ratio_of
from benchmarks.peers import onnx_runtime, pytorch
from benchmarks.peers.arm import (
    BINDING,
    COMPILE,
    COMPILED,
    EAGER,
    OPENVINO,
    OURS,
    RUNTIME,
    Arm,
    fastest,
    relative_error,
    require_same,
)
from tinytorch import models
from tinytorch.errors import ProfilingError
from tinytorch.ops.allocations import allocations

LIMIT = 1e-4
"""Logits and losses of float32, summed in another order."""


def modes(work: Workload) -> Any:
    return nullcontext() if work.optimizer else torch.inference_mode()


def check(work: Workload, arms: dict[str, list[Arm]]) -> None:
    """All variants agree with our eager mode at three calls; a step's losses tell updates from none."""
    with tt.no_grad() if work.optimizer is None else nullcontext():
        right = measure.expected(work)
    if work.optimizer:
        assert all(abs(a - b) > 3 * LIMIT * abs(a) for a, b in pairwise(right))
    with modes(work):
        for arm in (arm for variants in arms.values() for arm in variants):
            require_same(arm, right, LIMIT)


# ---------------------------------------------------------------- like with like


@pytest.mark.parametrize("work", WORKLOADS, ids=lambda work: work.name)
def test_peers_compute_the_same(work: Workload) -> None:
    if work.name == "minilm":
        models.fetch_minilm()
    missing: dict[str, str] = {}
    arms = measure.peers_of(work, 1, missing, but=(COMPILE, OURS))
    assert set(arms) == set(work.peers) - {COMPILE, OURS}, missing
    assert all(arms.values())
    check(work, arms)


@pytest.mark.parametrize("name", ["mlp-b32", "cnn-b1", "mlp-b32-step"])
def test_torch_compile_computes_the_same(name: str) -> None:
    work, missing = workload(name), {}
    arms = measure.peers_of(work, 1, missing, but=tuple(set(work.peers) - {COMPILE}))
    if COMPILE in missing:
        pytest.skip(missing[COMPILE])
    try:
        check(work, arms)
    finally:
        pytorch.forget_compiled()


def test_a_peer_that_computes_something_else_takes_no_part() -> None:
    work = workload("mlp-b1")
    model, x = work.build()
    with torch.inference_mode():
        (arm,) = pytorch.eager_forward(model, x)
        right = measure.expected(work)
        for wrong in (right[0] * 1.002, right[0][:, :9], np.full_like(right[0], np.nan)):
            with pytest.raises(ProfilingError, match=r"PyTorch eager \(plain\), call 3: differs"):
                require_same(arm, [*right[:2], wrong])


def test_a_program_that_goes_wrong_after_its_first_call_is_told() -> None:
    """The first call of a compiled function may be an eager one."""

    class Wrong:
        def __init__(self, function: Callable[..., tt.Tensor]) -> None:
            self.function, self.calls = function, 0

        def __call__(self, *inputs: tt.Tensor) -> tt.Tensor:
            self.calls += 1
            return self.function(*inputs) * (1.0 if self.calls < 3 else 1.01)

        def kernel_seconds(self, runs: int, *inputs: tt.Tensor) -> float:
            return per_call(lambda: self(*inputs), runs)

    with (
        pytest.raises(ProfilingError, match="TinyTorch compiled.*call 3"),
        measure.contest(workload("odd-mlp"), Wrong),
    ):
        pass


def test_each_image_model_is_tried_in_both_formats_and_no_other() -> None:
    cnn, _ = workload("cnn-b1").build()
    mlp, _ = workload("mlp-b1").build()
    assert (pytorch.formats(cnn), pytorch.formats(mlp)) == (["contiguous", "channels_last"], ["contiguous"])
    model, images = workload("conv-5x5").build()
    twin, x = pytorch.placed(model, images, "channels_last")
    assert twin.get_parameter("3.weight").is_contiguous(memory_format=torch.channels_last)
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_onnx_knows_no_names_but_its_two_and_attention_is_exported_in_both_ways() -> None:
    model, x = models.GPT(16, context=8, width=8, layers=1, heads=2).eval(), np.zeros((1, 5), np.int64)
    export = partial(onnx_runtime.exported, model, x)
    arms = onnx_runtime.forward(model, x, 1, export)
    assert [(arm.peer, arm.how) for arm in arms] == [
        (RUNTIME, ""),
        (BINDING, ""),
        (RUNTIME, "operators 23"),
        (BINDING, "operators 23"),
    ]
    session = onnx_runtime.open_session(export(onnx_runtime.DECOMPOSED), threads=1)
    assert [i.name for i in session.get_inputs()] == ["x"]
    assert session.get_session_options().intra_op_num_threads == 1


# ---------------------------------------------------------------- inside a call


def test_the_loop_of_torchscript_runs_all_passes() -> None:
    """A loop whose results were dropped would be cut short: a pass must not take less the more there are."""
    model, x = workload("cnn-b32").build()
    twin, given = pytorch.placed(model, x, "contiguous")
    passes = pytorch._Passes(twin)
    with torch.inference_mode():
        found = passes([given, given + 1, given])
        assert len(found) == 3
        assert torch.equal(found[1], twin(given + 1))
        seconds = pytorch.in_script(twin, given)
        few, many = (min(seconds(n) for _ in range(5)) for n in (2, 20))
    assert many > few / 3


@pytest.mark.parametrize("peer", [EAGER, BINDING])
def test_kernels_are_a_part_of_the_call(peer: str) -> None:
    work = workload("cnn-b1")
    with torch.inference_mode():
        arm = measure.peers_of(work, 1, {}, but=tuple({COMPILE, OPENVINO, OURS}))[peer][0]
        parts = measure.split(arm, calls=20, rounds=9)
    assert 0 < parts.kernel < 3 * parts.whole
    assert parts.overhead.value == pytest.approx(parts.whole - parts.kernel, abs=parts.whole)


# ---------------------------------------------------------------- figures and verdicts


def test_the_ratio_is_that_of_medians_with_an_interval_around_it() -> None:
    rng = np.random.default_rng(0)
    times = rng.uniform(1.0, 1.2, 40)
    found = ratio_of(times, 3.0 * times)
    assert found.ratio == pytest.approx(3.0)
    assert found.low == pytest.approx(3.0) == found.high  # paired: what both share cancels
    assert (found.ours, found.peer) == (np.median(times), np.median(3.0 * times))
    noisy = ratio_of(times, 3.0 * rng.permutation(times))
    assert noisy.low < noisy.ratio < noisy.high


def test_samples_have_the_calls_asked_for_and_one_that_is_not_timed() -> None:
    calls = {"a": 0, "b": 0}

    def run(name: str) -> Callable[[], None]:
        def one() -> None:
            calls[name] += 1

        return one

    times = interleave({n: run(n) for n in calls}, rounds=5, inner={"a": 2, "b": 7}, warmup=1, lead=True)
    assert calls == {"a": 1 + 5 * 3, "b": 1 + 5 * 8}
    assert {name: len(samples) for name, samples in times.items()} == {"a": 5, "b": 5}


def test_short_calls_are_bundled() -> None:
    assert calls_for(lambda: None, seconds=1e-2, most=50) == 50
    assert calls_for(lambda: sum(range(100_000)), seconds=1e-9) == 1


def test_the_fastest_variant_takes_part() -> None:
    def arm(how: str, work: int) -> Arm:
        return Arm(EAGER, how, lambda: sum(range(work)), np.asarray)

    assert fastest([arm("slow", 200_000), arm("quick", 100), arm("middling", 20_000)]).how == "quick"


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(2.99, "NO"), (3.0, "yes"), (4.49, "yes"), (4.5, "yes, aim"), (9.0, "yes, aim")]
)
def test_verdicts(ratio: float, verdict: str) -> None:
    work = workload("mlp-b32-step")
    assert (work.must[EAGER], work.aim[EAGER]) == (3.0, 4.5)
    found = measure.Measured(work, {}, {}, {EAGER: Ratio(1.0, ratio, ratio, ratio, ratio)})
    assert found.reached(EAGER) == verdict


def test_a_figure_that_is_only_printed_has_no_verdict() -> None:
    work = workload("mlp-b32-adamw")
    one = Ratio(1.0, 0.5, 0.5, 0.5, 0.5)
    found = measure.Measured(work, {}, {}, {EAGER: one, OURS: one})
    assert (found.reached(EAGER), found.reached(OURS)) == ("", "NO")


def test_no_figure_is_asked_of_a_peer_that_takes_no_part() -> None:
    for work in WORKLOADS:
        assert set(work.aim) <= set(work.must) <= set(work.peers)
        assert work.must[OURS] == 1.0
        assert work.group != UNTUNED or work.must[EAGER] == 1.0
        assert all(work.aim[peer] > work.must[peer] for peer in work.aim)
    assert len({work.name for work in WORKLOADS}) == len(WORKLOADS)


def test_the_table_names_what_is_not_available(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    work = workload("mlp-b32-step")
    found = measure.Measured(
        work,
        {EAGER: Arm(EAGER, "fused", lambda: None, np.asarray), OURS: Arm(OURS, "", lambda: None, np.asarray)},
        {COMPILED: 2e-4},
        {EAGER: Ratio(2e-4, 5e-4, 2.5, 2.4, 2.6), OURS: Ratio(2e-4, 4e-4, 2.0, 1.9, 2.1)},
        {COMPILE: "no C++ compiler"},
    )
    tables.ratios("title", [found], held=True)
    held = " ".join(capsys.readouterr().out.split())
    tables.ratios("title", [found], held=False)
    printed = " ".join(capsys.readouterr().out.split())
    assert "200 us PyTorch eager (fused) 500 us 2.50 [2.40, 2.60] >= 3 4.5 NO" in held
    assert "TinyTorch eager 400 us 2.00 [1.90, 2.10] >= 1 yes" in held
    assert "not available: no C++ compiler" in held
    assert ">=" not in printed
    assert "NO" not in printed.replace("not", "")


def test_unknown_workloads_and_numbers_below_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--only", "mlp"], ["--rounds", "0"], ["--threads", "-1"]):
        with pytest.raises(SystemExit):
            parser().parse_args(wrong)
    assert "invalid choice: 'mlp'" in capsys.readouterr().err
    assert parser().parse_args(["--only", "mlp-b1", "--only", "minilm"]).only == ["mlp-b1", "minilm"]


# ---------------------------------------------------------------- memory and agreement


def test_what_is_held_counts_beside_what_a_call_needs() -> None:
    """A function that keeps a megabyte, announces half of one, and takes two more while it runs."""
    mib, address = 2**20, 0x7FFF0000
    before = allocations.by_owner()

    def make() -> Callable[[], object]:
        kept = np.zeros(mib, np.uint8)
        allocations.allocate("test", address, mib // 2)
        return lambda: np.zeros(2 * mib, np.uint8).any() or kept.any()

    import tracemalloc

    try:
        found = working_memory._traced(make)
    finally:
        tracemalloc.stop()
        allocations.free(address)
    assert found["held"] == pytest.approx(1.5 * mib, rel=0.01)
    assert found["peak"] == pytest.approx(3.5 * mib, rel=0.02)
    assert found["named"] == {"test": mib // 2}
    assert allocations.by_owner() == before


def test_eager_peak_of_a_step_is_that_of_gradients_and_what_backward_keeps() -> None:
    use = working_memory.measure("gpt-8x64-step", compiled=False)
    weights = sum(p.size for p in workload("gpt-8x64-step").build()[0].parameters()) * 4
    assert use.held == pytest.approx(weights, rel=0.05)  # the gradients, which stay until the next step
    assert use.peak > 3 * weights
    assert use.resident > 0.7 * use.peak


def test_agreement_of_eager_with_itself_and_with_a_program_that_is_off() -> None:
    forward, step = workload("mlp-b1"), workload("mlp-b32-step")

    def off(function: Callable[..., Any]) -> Any:
        return lambda *inputs: function(*(x * 1.001 if x.dtype.kind == "f" else x for x in inputs))

    assert agreement.logits(forward, lambda function: function) == 0  # type: ignore[arg-type, return-value]
    assert agreement.weights(step, lambda function: function, steps=3) == 0  # type: ignore[arg-type, return-value]
    assert agreement.logits(forward, off) > agreement.LOGITS
    assert agreement.weights(step, off) > agreement.WEIGHTS / 10


def test_relative_error() -> None:
    assert relative_error(np.array([1.0, -5.0]), np.array([1.0, -4.0])) == 0.25
    assert relative_error(np.zeros(2), np.zeros(2)) == 0
    assert relative_error(np.zeros(2), np.zeros(3)) == np.inf
    assert relative_error(np.array([np.inf]), np.array([1.0])) == np.inf


# ---------------------------------------------------------------- scaling


def test_scaling_grows_one_size_at_a_time_and_draws_every_arm(tmp_path: Any) -> None:
    for line in scaling.LINES:
        shapes = [line.work(size).build()[1].shape for size in line.sizes[:2]]
        made = [line.work(size).build()[0] for size in line.sizes[:2]]
        axis = {"batch": 0, "tokens": 1}.get(line.axis)
        if axis is not None:
            assert [shape[axis] for shape in shapes] == list(line.sizes[:2])
        else:
            assert [model.width for model in made] == list(line.sizes[:2])
    times = {name: [np.full(3, 1e-3 * n) for n in scaling.LINES[0].sizes] for name in scaling.ARMS}
    scaling.draw([(scaling.LINES[0], times)], tmp_path / "figures" / "lines.svg")
    drawn = (tmp_path / "figures" / "lines.svg").read_text(encoding="utf-8")
    assert all(f"<!-- {label} -->" in drawn for label in scaling.LABELS.values())


def test_a_step_arm_of_ours_moves_its_own_copy_alone() -> None:
    work = workload("mlp-b32-step")
    one, two = ours.arm_of(work), ours.arm_of(work)
    first = [float(one.read(one.run())) for _ in range(3)]
    assert float(two.read(two.run())) == first[0] > first[2]

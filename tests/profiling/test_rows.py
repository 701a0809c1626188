"""From passes to rows: times, shares and work by module and op, against sums made by hand."""

import numpy as np
import pytest

from tinytorch import Tensor, no_grad
from tinytorch.models import GPT
from tinytorch.nn import Linear, ReLU, Sequential
from tinytorch.ops.elementwise import Exp
from tinytorch.profiling.counting.flops import FLOPCounter, OpCost
from tinytorch.profiling.profile import MemoryUse, ModuleMemory, Roof
from tinytorch.profiling.rows import Times, module_rows, op_rows, slices, typical, work_by
from tinytorch.profiling.trace import Key, OpCosts, OpTimer, Pass, Record

EXP = Exp()
ROOF = Roof(100e9, {"L1": 200e9, "memory": 10e9}, 1, sizes={"L1": 32768}, call=1e-9)


def made(*lengths: int, watched: int = 5) -> Pass:
    """A pass in which ops of paths a, a.b, a take so many ns each, one of them Python; watching adds some."""
    records, now = [], 1000
    for path, length in zip(("a", "a.b", "a"), lengths, strict=False):
        records.append(
            Record(path, EXP, path == "a.b", now + 1, now + length, now + length, now + length + watched)
        )
        now += length + watched
    return Pass(1000, now + 7, tuple(records))


PASSES = [made(10 * n, 100 * n, 20 * n) for n in (1, 2, 3)]
COSTS = [
    (Key("a", "exp", False), OpCost(400, 0, 800)),
    (Key("a.b", "exp", True), OpCost(40, 30, 80)),
    (Key("a", "exp", False), OpCost(4, 0, 8)),
]


def test_modules_have_their_own_time_and_that_of_the_modules_below() -> None:
    rows = {row.path: row for row in module_rows(Times(PASSES), COSTS, None, None, ROOF)}
    assert list(rows) == ["", "a", "a.b"]
    ns = 1e-9
    assert rows["a"].self_seconds.value == pytest.approx(60 * ns)
    assert rows["a"].total_seconds.value == pytest.approx(260 * ns)
    assert rows["a.b"].total_seconds.value == pytest.approx(200 * ns)
    assert rows[""].total_seconds.value == pytest.approx(267 * ns)
    assert rows[""].self_seconds.value == pytest.approx(7 * ns)
    assert rows["a"].kernel_seconds == pytest.approx(58 * ns)
    assert rows["a"].backward_seconds == 0
    assert rows["a.b"].backward_seconds == pytest.approx(200 * ns)
    assert rows["a"].share.value == pytest.approx(60 / 267)
    assert sum(row.share.value for row in rows.values()) == pytest.approx(1)
    assert [rows[path].depth for path in rows] == [0, 1, 2]


def test_modules_have_their_own_work() -> None:
    rows = {row.path: row for row in module_rows(Times(PASSES), COSTS, None, None, None)}
    assert (rows["a"].calls, rows["a"].flops, rows["a"].bytes) == (2, 404, 808)
    assert (rows["a.b"].calls, rows["a.b"].flops, rows["a.b"].matmul_flops) == (1, 40, 30)
    assert (rows[""].calls, rows[""].flops, rows[""].bytes, rows[""].intensity) == (0, 0, 0, None)
    assert rows["a"].intensity == pytest.approx(0.5)
    assert rows["a"].roof is rows["a"].bound is None


def test_a_module_with_an_op_that_has_no_rule_has_unknown_work() -> None:
    costs = [*COSTS, (Key("a", "odd", False), OpCost(None, 0, 80))]
    row = module_rows(Times(PASSES), costs, None, None, ROOF)[1]
    assert row.flops is None
    assert row.intensity is None
    assert work_by(costs, lambda key: key.op)["odd"].flops is None


def test_small_work_is_bound_by_the_cost_of_its_calls() -> None:
    roof = Roof(1e12, {"memory": 1e12}, 1, call=1e-6)
    bounds = [row.bound for row in module_rows(Times(PASSES), COSTS, None, None, roof)]
    assert bounds[1:] == ["overhead", "overhead"]


def test_kinds_peaks_and_parameters_come_from_the_model_and_the_memory_pass() -> None:
    model = GPT(vocab_size=11, context=4, width=8, layers=2, heads=2).eval()
    timer, costs = OpTimer(), OpCosts()
    peaks = tuple(ModuleMemory(path, 0, 0, 0, 0, 77) for path in ("blocks.0.attn",))
    memory = MemoryUse(0, 0, 0, 0, 0, None, "steady", 1, modules=peaks)
    with no_grad():
        costs.run(lambda: model(model.example_input))
        passes = [timer.run(lambda: model(model.example_input))[0] for _ in range(3)]
    rows = {row.path: row for row in module_rows(Times(passes), costs.rows, model, memory, ROOF)}
    assert rows[""].kind == "GPT"
    assert rows["blocks.1.attn.q_proj"].kind == "Linear"
    assert rows["blocks.0.attn"].peak_bytes == 77
    assert rows["blocks.1.attn"].peak_bytes is None
    assert rows["blocks.0.attn.q_proj"].parameter_bytes == 4 * (64 + 8)
    assert rows["wte"].parameter_bytes == 4 * 11 * 8
    assert rows["head"].parameter_bytes == 0  # it shares that of wte, which comes first
    with no_grad():
        counted = {row.path: row for row in FLOPCounter("all").count(model).by_module}
    assert {path: row.flops for path, row in rows.items()} == {
        p: row.self_flops for p, row in counted.items()
    }


def test_ops_are_added_up_by_kind_the_costliest_first() -> None:
    model, timer, costs = Sequential(Linear(512, 512), ReLU(), Linear(512, 2)), OpTimer(), OpCosts()
    x = Tensor(np.ones((64, 512), np.float32))
    with no_grad():
        costs.run(lambda: model(x))
        passes = [timer.run(lambda: model(x))[0] for _ in range(5)]
    rows = op_rows(Times(passes), costs.rows)
    assert [(row.name, row.calls) for row in rows] == [("linear", 2), ("relu", 1)]
    assert rows[0].matmul_flops == 2 * 64 * 512 * (512 + 2)
    assert sum(row.share.value for row in rows) <= 1


def test_the_typical_pass_is_that_of_the_median() -> None:
    assert typical(PASSES) is PASSES[1]


def test_slices_leave_the_time_of_watching_out() -> None:
    one = made(10, 100, 20, watched=1000)
    found = slices(one, COSTS)
    ns = 1e-9
    assert [(s.start, s.end) for s in found] == [
        pytest.approx((1 * ns, 10 * ns)),
        pytest.approx((11 * ns, 110 * ns)),
        pytest.approx((111 * ns, 130 * ns)),
    ]
    assert [(s.path, s.backward, s.flops, s.bytes) for s in found] == [
        ("a", False, 400, 800),
        ("a.b", True, 40, 80),
        ("a", False, 4, 8),
    ]
    assert len(slices(one, COSTS, limit=2)) == 2


def test_slices_have_no_costs_where_those_were_counted_on_other_ops() -> None:
    found = slices(made(10, 100, 20), COSTS[:2])
    assert [(s.flops, s.bytes) for s in found] == [(None, 0)] * 3

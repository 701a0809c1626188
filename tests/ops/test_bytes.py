"""Bytes that ops say they move, against sums by hand."""

from __future__ import annotations

import pytest

from tests.ops.test_costs import event, spec
from tinytorch.ops import arithmetic, compare, conv, index, matmul, norm, pool, random, reduce, shape, update
from tinytorch.ops.base import Op
from tinytorch.ops.spec import Spec, float32, int8, int64
from tinytorch.profiling.counting.flops import OpCost, cost_of

IDS = Spec((7,), int64)
BYTES: list[tuple[str, int, Op, tuple[Spec, ...]]] = [
    ("each operand once, the result once", 12 + 16 + 48, arithmetic.Add(), (spec(3, 1), spec(4))),
    ("a comparison writes a byte", 48 + 48 + 12, compare.Less(), (spec(3, 4), spec(3, 4))),
    ("a reduction reads all", 48 + 16, reduce.Sum((0,)), (spec(3, 4),)),
    ("a view moves nothing", 0, shape.Reshape((12,)), (spec(3, 4),)),
    ("a view moves nothing", 0, shape.Permute((1, 0)), (spec(3, 4),)),
    ("a view moves nothing", 0, shape.Expand((5, 4)), (spec(1, 4),)),
    ("a view moves nothing", 0, index.Slice((0,)), (spec(3, 4),)),
    ("a copy in another order", 96, shape.Contiguous(), (spec(3, 4),)),
    ("a cast reads 4 and writes 8", 48 + 96, arithmetic.Cast(int64), (spec(3, 4),)),
    ("concat copies", 2 * (48 + 16), shape.Concat(0), (spec(3, 4), spec(1, 4))),
    ("a slice's gradient writes zeros, too", 16 + 48, index.SliceGrad((0,), (3, 4)), (spec(4),)),
    ("rows picked, not the whole table", 56 + 2 * 7 * 40, index.Take(), (spec(1000, 10), IDS)),
    ("the table's gradient is written whole", 56 + 280 + 40_000, index.TakeGrad(1000), (spec(7, 10), IDS)),
    ("gather reads what it picks", 56 + 2 * 28, index.Gather(0), (spec(1000), IDS)),
    ("a value goes into a slice", 16 + 16, index.Assign((0,)), (spec(3, 4), spec(4))),
    ("a value goes into all of it", 4 + 48, index.Assign(), (spec(3, 4), spec())),
    ("x, w, b and out", 4 * (2 * 5 + 3 * 5 + 3 + 2 * 3), matmul.Linear(), (spec(2, 5), spec(3, 5), spec(3))),
    ("both factors and the product", 4 * (10 + 15 + 6), matmul.MatMul(), (spec(2, 5), spec(5, 3))),
    ("two results", 4 * (6 + 10 + 15 + 3), matmul.LinearWeightGrad(), (spec(2, 3), spec(2, 5))),
    (
        "x, w and out, whatever the columns take",
        4 * (2 * 3 * 36 + 4 * 27 + 2 * 4 * 16),
        conv.Conv2d(),
        (spec(2, 3, 6, 6), spec(4, 3, 3, 3)),
    ),
    (
        "mean and rstd are written",
        4 * (2 * 12 + 2 * 4 + 2 * 3),
        norm.LayerNorm(),
        (spec(3, 4), spec(4), spec(4)),
    ),
    (
        "a byte for where it came from",
        4 * (64 + 16) + 16,
        pool.MaxPool2d((2, 2), (2, 2)),
        (spec(1, 1, 8, 8),),
    ),
    (
        "what was picked",
        5 * 16 + 64,
        pool.MaxPool2dPick((2, 2), (2, 2)),
        (spec(1, 1, 8, 8), Spec((1, 1, 4, 4), int8)),
    ),
    (
        "p, g, m, v and the step in; p, m, v and the step out",
        4 + 4 * 48 + 8 + 3 * 48 + 8,
        update.AdamUpdate(1),
        (spec(), *[spec(3, 4)] * 4, Spec((), int64)),
    ),
    ("p and g in, p out", 4 + 3 * 48, update.SGDUpdate(1), (spec(), spec(3, 4), spec(3, 4))),
    ("each gradient once, a float64", 48 + 8, update.GlobalNorm(), (spec(3, 4),)),
    ("the state in and out", 2 * 16 + 48, random.Uniform((3, 4), float32), (Spec((2,), int64),)),
]


@pytest.mark.parametrize(
    ("why", "moved", "op", "inputs"), BYTES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_bytes(why: str, moved: int, op: Op, inputs: tuple[Spec, ...]) -> None:
    assert cost_of(event(op, *inputs)).bytes == moved, why


def test_an_op_without_a_rule_has_none_rather_than_0() -> None:
    class Strange(Op):
        def infer(self, a: Spec) -> Spec:
            return Spec(a.shape, a.dtype)

    assert cost_of(event(Strange(), spec(3))) == OpCost(None, 0, 24)

"""Rates of classes of ops: interpolation and sums against figures worked out by hand, classes complete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch.ops.base import Op
from tinytorch.profiling.hardware import rates
from tinytorch.profiling.hardware.rates import CALL, KINDS, Curve, Rates, cases, interleaved, kind_of
from tinytorch.profiling.hardware.workload import Demand, record_call

CURVE = Curve((100.0, 1e4, 1e6), (1e9, 4e9, 2e9))


def test_between_two_sizes_logarithms_are_interpolated() -> None:
    assert CURVE.at(1e3) == pytest.approx(2e9)  # half way between 1e2 and 1e4, and between 1e9 and 4e9
    assert CURVE.at(1e5) == pytest.approx((4e9 * 2e9) ** 0.5)
    assert [CURVE.at(size) for size in (100.0, 1e4, 1e6)] == pytest.approx([1e9, 4e9, 2e9])


def test_beyond_the_ends_the_rate_stays() -> None:
    assert (CURVE.at(1), CURVE.at(1e12)) == (1e9, 2e9)
    assert Curve((5.0,), (7.0,)).at(1) == Curve((5.0,), (7.0,)).at(9) == 7.0


@given(st.floats(1, 1e9))
def test_a_rate_lies_between_its_neighbours(size: float) -> None:
    assert 1e9 * (1 - 1e-9) <= CURVE.at(size) <= 4e9 * (1 + 1e-9)


def test_seconds_by_hand() -> None:
    product = Rates(1e-6, Curve((1.0,), (1e9,)), Curve((1.0,), (1e8,)))
    # 2000 FLOPs take 2 us, 100 bytes 1 us: the larger, and a call, three times
    assert product.seconds(Demand("linear", 6000, 300, 6000, 3), 300) == pytest.approx(3 * 3e-6)
    # 1000 bytes take 10 us
    assert product.seconds(Demand("linear", 6000, 3000, 6000, 3), 3000) == pytest.approx(3 * 11e-6)
    assert product.seconds(Demand("reshape", 0, 0, 0, 5), 0) == pytest.approx(5e-6)
    assert Rates(1e-6).seconds(Demand("x", 1e9, 1e9, 0, 2), 1e9) == pytest.approx(2e-6)


def test_products_of_few_rows_are_held_to_their_intensity() -> None:
    thin = Rates(0.0, Curve((1.0,), (8e9,)), None, Curve((0.5, 50.0), (1e9, 8e9)))
    assert thin.seconds(Demand("linear", 1000, 2000, 1000), 0) == pytest.approx(1e-6)
    assert thin.seconds(Demand("linear", 100_000, 2000, 100_000), 0) == pytest.approx(100_000 / 8e9)


def test_weights_come_from_where_the_pass_leaves_them_and_activations_do_not() -> None:
    far = Rates(0.0, None, Curve((1e3, 1e6), (1e10, 1e9)))
    product, simple = Demand("linear", 1, 1000, 1), Demand("add", 1, 1000, 0)
    assert far.seconds(product, 1e6) == pytest.approx(1e-6)
    assert far.seconds(simple, 1e6) == pytest.approx(1e-7)


@given(
    flops=st.floats(1, 1e10), moved=st.floats(1, 1e9), calls=st.integers(1, 9), factor=st.floats(1.01, 100)
)
def test_slower_rates_never_take_less(flops: float, moved: float, calls: int, factor: float) -> None:
    def at(speed: float) -> Rates:
        curve = Curve((10.0, 1e6), (1e8 * speed, 1e9 * speed))
        return Rates(1e-6 / speed, curve, curve, curve)

    op = Demand("linear", flops, moved, flops, calls)
    fast, slow = at(factor).seconds(op, moved), at(1.0).seconds(op, moved)
    assert slow == pytest.approx(fast * factor)
    assert slow >= calls * 1e-6


def all_ops(kind: type[Op]) -> set[str]:
    below = {name for sub in kind.__subclasses__() for name in all_ops(sub)}
    return below | ({kind.__name__.lower()} if kind.__module__.startswith("tinytorch.") else set())


def test_every_name_of_a_class_is_that_of_an_op() -> None:
    names = {name for found in rates._NAMES.values() for name in found}
    assert names <= all_ops(Op)
    assert len(names) == sum(len(found) for found in rates._NAMES.values()), "an op is in two classes"


def test_classes_of_ops() -> None:
    x = tt.ones(4, 6)
    for call, kind in [
        (lambda: x @ x.mT, rates.PRODUCT),
        (lambda: x + x, rates.SIMPLE),
        (lambda: x.exp(), rates.CURVED),
        (lambda: x.sum(), rates.REDUCTION),
        (lambda: x.reshape(24), rates.VIEW),
        (lambda: tt.softmax(x), rates.NORM),
    ]:
        assert kind_of(record_call(call)[-1]) == kind


def test_each_case_is_one_op_of_its_class_and_each_class_has_a_call() -> None:
    found = cases()
    for case in found:
        (op,) = record_call(case.run)
        assert kind_of(op) == case.kind
    assert {case.kind for case in found} == set(KINDS)
    assert sorted(case.kind for case in found if case.tells == CALL) == sorted(KINDS)


def test_a_case_tells_about_sizes_beyond_caches() -> None:
    moved = {
        kind: max(sum(op.bytes for op in record_call(case.run)) for case in cases() if case.kind == kind)
        for kind in (rates.PRODUCT, rates.SIMPLE)
    }
    assert min(moved.values()) > 2**24


def test_taking_turns_calls_each_as_often_and_twice_in_a_row() -> None:
    calls: list[str] = []
    runs = [lambda name=name: calls.append(name) for name in ("a", "b", "c")]
    times = interleaved(runs, between=lambda: calls.append("-"), seed=3)
    assert len(times) == 3
    assert all(seconds > 0 for seconds in times)
    rounds = [tuple(calls[i : i + 3]) for i in range(0, len(calls), 3)]
    assert all(first == last and middle == "-" for first, middle, last in rounds)
    assert calls.count("a") == calls.count("b") == calls.count("c")
    orders = {tuple(turn[0] for turn in rounds[i : i + 3]) for i in range(0, len(rounds), 3)}
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(orders) > 1, "the order is never changed"


def test_curves_are_of_the_time_beyond_a_call() -> None:
    rows = [
        rates.Row(rates.CALL, Demand("linear", 1, 1, 1), 1e-6),
        rates.Row(rates.FLOPS, Demand("linear", 1000, 10, 1000), 3e-6),
        rates.Row(rates.FLOPS, Demand("linear", 10, 10, 10), 0.5e-6),  # quicker than a call: noise
        rates.Row(rates.BYTES, Demand("linear", 10, 4000, 10), 5e-6),
        rates.Row(rates.INTENSITY, Demand("linear", 6000, 2000, 6000), 7e-6),
    ]
    found = rates._rates(rows)
    assert found.call == 1e-6
    assert found.flops is not None
    assert found.flops.sizes == (10, 1000)
    assert found.flops.rates == pytest.approx((10 / 0.5e-7, 1000 / 2e-6))
    assert found.bytes == Curve((4000,), (pytest.approx(1e9),))
    assert found.intensity == Curve((3.0,), (pytest.approx(1e9),))

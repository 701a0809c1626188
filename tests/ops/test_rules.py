"""Where a learner wrote an op's rule, that rule runs: no backend's kernel and no fused op takes its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.ops.test_samples import CASES, Case
from tinytorch.autograd import no_grad
from tinytorch.errors import DataError, ShapeError
from tinytorch.ops import context
from tinytorch.ops.activation import GeluTanh
from tinytorch.ops.arithmetic import Add
from tinytorch.ops.base import Op
from tinytorch.ops.context import observe, register_kernel, use_backend
from tinytorch.ops.matmul import Linear, MatMul
from tinytorch.ops.softmax import cross_entropy
from tinytorch.tensor import Tensor, from_numpy

STAYS = {"BatchNorm", "MaxPool2d", "SGDUpdate", "AdamUpdate", "GlobalNorm", "ScaleAll"}
"""Ops with a composite form that stay as they are: its result is not theirs in every respect."""


class Names:
    """An observer that remembers which ops ran."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def on_op(self, event: Any) -> None:
        self.seen.add(type(event.op).__name__)

    def on_exit(self, tensor: Any, how: str) -> None: ...


@pytest.fixture
def keep() -> Iterator[Callable[..., None]]:
    """`keep_rules`, undone afterwards."""
    yield lambda *names: context.keep_rules(names)
    context.rules.clear()
    context.keep_rules(())


def _composite(op: type[Op]) -> bool:
    return op.composite is not Op.composite and op.__name__ not in STAYS


FUSED = sorted({type(c.op) for c in CASES if _composite(type(c.op))}, key=lambda op: op.__name__)


def _tensors(case: Case) -> list[Tensor]:
    return [from_numpy(a) for a in case.arrays()]


@pytest.mark.parametrize("op", FUSED, ids=lambda op: op.__name__)
def test_fuses_names_what_the_composite_form_is_made_of(op: type[Op]) -> None:
    names = Names()
    with observe(names), no_grad():
        for case in CASES:
            if type(case.op) is op:
                case.op.composite(*_tensors(case))
    moves = {"Reshape", "Permute", "Expand", "Slice", "Contiguous", "Cast", "Pad", "Concat", "Where"}
    assert names.seen - moves <= set(op.fuses) <= names.seen


@pytest.mark.parametrize("op", FUSED, ids=lambda op: op.__name__)
def test_a_fused_op_steps_aside_for_each_rule_in_it(op: type[Op], keep: Callable[..., None]) -> None:
    case = next(c for c in CASES if type(c.op) is op and all(a.size for a in c.arrays()))
    want = case.op(*_tensors(case)).numpy()
    for rule in op.fuses:
        context.rules.clear()
        keep(rule)
        names = Names()
        with observe(names):
            got = case.op(*_tensors(case)).numpy()
        assert op.__name__ not in names.seen
        assert names.seen & set(op.fuses)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-9)


def test_an_op_with_a_rule_of_its_own_does_not_step_aside(keep: Callable[..., None]) -> None:
    keep("MatMul", "Linear")
    names = Names()
    x, w, b = (from_numpy(np.ones(s)) for s in ((2, 3), (4, 3), (4,)))
    with observe(names):
        Linear()(x, w, b)
    assert names.seen == {"Linear"}


def test_ops_that_share_no_rule_stay_fused(keep: Callable[..., None]) -> None:
    keep("Max")
    names = Names()
    with observe(names):
        GeluTanh()(from_numpy(np.ones(3)))
    assert names.seen == {"GeluTanh"}


def test_gradients_flow_through_the_composite_form(keep: Callable[..., None]) -> None:
    arrays = [np.random.default_rng(0).normal(size=s) for s in ((2, 3), (4, 3), (4,))]

    def gradients() -> list[Any]:
        tensors = [Tensor(a, requires_grad=True) for a in arrays]
        (Linear()(*tensors) * from_numpy(np.arange(8.0).reshape(2, 4))).sum().backward()
        return [t.grad.numpy() for t in tensors if t.grad is not None]

    want = gradients()
    keep("MatMul")
    for g, w in zip(gradients(), want, strict=True):
        np.testing.assert_allclose(g, w)


def test_cross_entropy_refuses_labels_as_ever(keep: Callable[..., None]) -> None:
    keep("Mul")
    logits = from_numpy(np.ones((2, 3)))
    for labels in ([0, 3], [0, -1]):
        with pytest.raises(DataError, match="3 classes"):
            cross_entropy(logits, from_numpy(np.array(labels)))
    with pytest.raises(DataError, match="every label is ignored"):
        cross_entropy(logits, from_numpy(np.array([-100, -100])))
    with pytest.raises(ShapeError):
        cross_entropy(logits, from_numpy(np.array([1])))
    assert cross_entropy(logits, from_numpy(np.array([-100, 1]))).item() == pytest.approx(np.log(3))


def test_a_backend_keeps_its_hands_off_a_rule(keep: Callable[..., None]) -> None:
    register_kernel("wrong", Add)(lambda op, a, b: a - b)
    register_kernel("wrong", MatMul)(lambda op, a, b: 0 * (a @ b))
    x = from_numpy(np.array([[2.0]]))
    try:
        with use_backend("wrong"):
            assert (x + x).item() == 0
            keep("Add")
            assert (x + x).item() == 4
            assert (x @ x).item() == 0
    finally:
        del context._backends["wrong"]

"""Gradients as a whole: the walk through the graph, what it keeps, higher orders, the numerical check."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from tinytorch.autograd import enable_grad, grad, gradcheck, no_grad
from tinytorch.errors import GradientError, ShapeError
from tinytorch.ops.activation import gelu
from tinytorch.ops.arithmetic import maximum
from tinytorch.ops.attention import attention
from tinytorch.ops.base import Gradient, Op
from tinytorch.ops.compare import where
from tinytorch.ops.context import OpEvent, observe, state
from tinytorch.ops.norm import layer_norm
from tinytorch.ops.shape import concat
from tinytorch.ops.softmax import cross_entropy, softmax
from tinytorch.ops.spec import Array, Spec
from tinytorch.tensor import Tensor, ones


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


def random(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


class Watcher:
    def __init__(self) -> None:
        self.events: list[OpEvent] = []

    def on_op(self, event: OpEvent) -> None:
        self.events.append(event)

    def on_exit(self, tensor: Tensor, how: str) -> None:
        raise AssertionError(f"backward let a value leave through {how}")

    def backward(self) -> list[str]:
        return [event.op.name for event in self.events if event.backward]


@pytest.fixture
def at_path() -> Iterator[Any]:
    """Sets the module path for the time of a test."""

    def enter(path: str) -> None:
        state().path = path

    yield enter
    state().path = ""


@dataclass
class Traced(Op):
    """out = factor * a; its vjp counts how often it is asked"""

    factor: float
    asked: ClassVar[int] = 0
    keeps: ClassVar[Any] = ()

    def infer(self, a: Spec) -> Spec:
        return Spec(a.shape, a.dtype)

    def forward(self, a: Array) -> Any:
        return a * self.factor

    def vjp(self, g: Tensor, out: Spec, a: Spec) -> tuple[Gradient, ...]:
        Traced.asked += 1
        return (g * self.factor,)


# ---------------------------------------------------------------- graphs


def test_residual_and_shared_inputs() -> None:
    x = leaf(2.0, -3.0)
    y = x + x * x
    (y + y * x).sum().backward()  # x + 2 x^2 + x^3
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.data, 1 + 4 * x.data + 3 * x.data**2)


def test_one_tensor_as_both_inputs() -> None:
    x = leaf(3.0)
    for out, expected in ((x * x, 6), (x + x, 2), (x - x, 0), (x / x, 0), (x @ x, 6), (maximum(x, x), 1)):
        (found,) = grad(out.sum(), [x])
        assert found is not None
        np.testing.assert_allclose(found.data, [expected], atol=1e-15)


def test_a_node_of_a_diamond_is_visited_once_after_all_its_users() -> None:
    Traced.asked = 0
    x = leaf(1.0)
    y = x
    for _ in range(40):  # 2^40 paths
        y = Traced(1.0)(y)
        y = y + y
    y.backward()
    assert Traced.asked == 40
    assert x.grad is not None
    assert x.grad.item() == 2.0**40


def test_equal_largest_numbers_share_the_gradient() -> None:
    x = Tensor(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]), requires_grad=True)
    for out, expected in ((x.max(1), [[0, 3, 3], [4, 4, 4]]), ((-x).min(1), [[0, -3, -3], [-4, -4, -4]])):
        (found,) = grad(out, [x], Tensor(np.array([6.0, 12.0])))
        assert found is not None
        np.testing.assert_allclose(found.data, expected, rtol=1e-15)


def test_users_at_different_depths() -> None:
    x = leaf(2.0)
    early = x * 3
    late = early
    for _ in range(5):
        late = late * 2
    (early + late).backward()
    assert x.grad is not None
    assert x.grad.item() == 3 + 3 * 32


def test_a_branch_that_gives_no_gradient_does_not_hold_up_the_others() -> None:
    x = leaf(2.0, 3.0)
    y = x * 2.0
    picked = y[y.argmax()]  # the index carries no gradient
    (where(y > 4.0, y, y.detach()).sum() + picked).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 4]


def test_a_tensor_that_requires_no_gradient_gets_none() -> None:
    x, c = leaf(2.0), Tensor([5.0], "float64")
    (x * c).sum().backward()
    assert c.grad is None
    assert x.grad is not None
    assert x.grad.item() == 5


def test_gradients_nobody_wants_are_not_computed() -> None:
    w, c, watcher = random(4, 3), Tensor(np.ones((5, 4))), Watcher()
    out = (c @ w).sum()
    with observe(watcher):
        out.backward()
    assert watcher.backward().count("matmul") == 1


def test_deep_chains_need_no_recursion() -> None:
    x = leaf(1.0)
    y = x
    limit = sys.getrecursionlimit()
    depth, frame = 0, sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    sys.setrecursionlimit(depth + 60)
    try:
        for _ in range(20_000):
            y = y + 0.5
        y.backward()
        z = x
        for _ in range(20_000):
            z = z * 1.0
        del z  # and a graph that is dropped unused is freed without recursion too
    finally:
        sys.setrecursionlimit(limit)
    assert x.grad is not None
    assert x.grad.item() == 1
    assert y.item() == 10_001


# ---------------------------------------------------------------- switches


def test_no_grad_and_enable_grad() -> None:
    x = leaf(1.0)
    with no_grad():
        y = x * 2
        with enable_grad():
            z = x * 2
        assert not (x * 2).requires_grad
    assert (y.requires_grad, y.is_leaf, z.requires_grad, (x * 2).requires_grad) == (False, True, True, True)


def test_no_grad_ends_with_an_error_inside() -> None:
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert (leaf(1.0) * 2).requires_grad


def test_detach_cuts_the_graph() -> None:
    x = leaf(2.0)
    y = x * 3
    (y.detach() * x).backward()
    assert x.grad is not None
    assert x.grad.item() == 6
    with pytest.raises(GradientError):
        y.detach().backward()


def test_backward_leaves_the_switches_as_they_were() -> None:
    x = leaf(1.0)
    with no_grad(), enable_grad():
        (x * 2).backward()
        assert (x * 2).requires_grad
    assert (state().grad, state().backward, state().path) == (True, False, "")


def test_a_frozen_leaf_gets_no_gradient() -> None:
    x, y = leaf(2.0), leaf(3.0)
    out = x * y
    x.requires_grad_(False)
    out.backward()
    assert x.grad is None
    assert y.grad is not None
    with pytest.raises(GradientError):
        (y * 2).requires_grad_(False)


# ---------------------------------------------------------------- errors


def test_backward_twice_needs_retain_graph() -> None:
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 12
    with pytest.raises(GradientError, match="retain_graph"):
        y.backward()
    with pytest.raises(GradientError, match="retain_graph"):
        (y * 2).backward()
    assert x.grad.item() == 12


def test_backward_of_many_numbers_needs_a_gradient() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(GradientError, match=r"\.sum\(\)"):
        (x * 2).backward()
    with pytest.raises(ShapeError):
        (x * 2).backward(Tensor([1.0]))
    (x * 2).backward(Tensor([1.0, 10.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [2, 20]


def test_backward_of_nothing() -> None:
    with pytest.raises(GradientError, match="requires_grad"):
        Tensor(1.0).backward()
    with pytest.raises(GradientError):
        grad(leaf(1.0) * 2, [Tensor([1.0])])


def test_an_op_without_a_gradient_says_so() -> None:
    class Silent(Op):
        def infer(self, a: Spec) -> Spec:
            return Spec(a.shape, a.dtype)

        def forward(self, a: Array) -> Any:
            return a * 1

    with pytest.raises(GradientError, match="silent has no gradient"):
        Silent()(leaf(1.0)).backward()


def test_change_after_use_is_detected_where_backward_needs_the_old_value() -> None:
    def change(x: Tensor) -> None:
        x.assign_(5.0)

    for build in (
        lambda x: x * x,
        lambda x: x.log(),
        lambda x: x.unsqueeze(0) * 2.0 * x,
        lambda x: x[:1] * x.detach(),
    ):
        x = leaf(2.0)
        out = build(x).sum()
        change(x)
        with pytest.raises(GradientError, match="assign_"):
            out.backward()
    for build in (lambda x: x + 1.0, lambda x: x.exp(), lambda x: x[:1].relu(), lambda x: x.sum()):
        x = leaf(2.0)
        out = build(x).sum()
        change(x)
        out.backward()  # nothing that these keep has changed
        assert x.grad is not None
    assert x.grad.item() == 1


def test_change_before_use_and_after_backward_is_fine() -> None:
    x = leaf(2.0)
    for _ in range(3):
        (x * x).backward()
        assert x.grad is not None
        x.assign_(x.data - 0.1 * x.grad.data)
        x.grad = None
    np.testing.assert_allclose(x.data, [2 * 0.8**3])


@dataclass
class Double(Op):
    """a *= 2 in place"""

    mutates: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, a: Spec) -> Spec:
        return Spec(a.shape, a.dtype)

    def forward(self, a: Array) -> Any:
        a *= 2
        return a


def test_ops_that_change_a_view_are_detected_too() -> None:
    x = leaf(2.0)
    out = x * x
    with no_grad():
        Double()(x.detach())
    assert x.item() == 4
    with pytest.raises(GradientError, match="assign_"):
        out.backward()


def test_ops_that_change_a_tensor_refuse_to_be_recorded() -> None:
    for watched in (False, True):
        x = leaf(2.0)
        with observe(Watcher()) if watched else nullcontext(), pytest.raises(GradientError, match="no_grad"):
            Double()(x)
        assert x.item() == 2, "and do so before they change it"


# ---------------------------------------------------------------- what is kept and freed


def _owner(t: Tensor) -> weakref.ref[Any]:
    return weakref.ref(t._array)


def test_inputs_that_backward_does_not_need_die_at_once() -> None:
    x = random(50)
    a = x * 1.0
    gone = _owner(a)
    out = a + 1.0  # keeps nothing
    del a
    assert gone() is None
    b = x * 1.0
    kept = _owner(b)
    product = b * b
    del b
    assert kept() is not None
    (out.sum() + product.sum()).backward()
    assert kept() is None, "and backward lets go of the rest"


def test_backward_frees_the_graph_as_it_goes() -> None:
    x = random(50)
    hidden = [x.exp()]
    for _ in range(3):
        hidden.append(hidden[-1].tanh())
    out = hidden[-1].sum()
    refs = [_owner(h) for h in hidden]
    del hidden
    assert any(ref() is not None for ref in refs)
    out.backward()
    assert all(ref() is None for ref in refs)


def test_a_graph_is_no_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        x = random(50)
        for create_graph in (False, True):
            h = layer_norm(softmax(x.reshape(5, 10)), ones(10, dtype="float64"), ones(10, dtype="float64"))
            gone = _owner(h)
            (found,) = grad((h * h).sum(), [x], create_graph=create_graph)
            del h, found
            assert gone() is None
    finally:
        gc.enable()


def test_retained_graphs_live_as_long_as_their_output() -> None:
    x = random(50)
    h = x.exp()
    ref, out = _owner(h), (h * h).sum()
    del h
    out.backward(retain_graph=True)
    assert ref() is not None
    del out
    assert ref() is None


# ---------------------------------------------------------------- leaves and their gradients


def test_gradients_add_up_over_calls() -> None:
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    first = x.grad
    assert first is not None
    (x * x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [5, 7]
    assert first.tolist() == [3, 3], "a gradient handed out earlier stays as it was"


@pytest.mark.parametrize("create_graph", [False, True])
def test_two_leaves_never_share_a_gradient(create_graph: bool) -> None:
    given = Tensor(np.ones((2, 2)))
    for build in (
        lambda a, b: a + b,
        lambda a, b: (a + b) * 1.0,
        lambda a, b: a.clone() + b.reshape(4).reshape(2, 2),
    ):
        a, b = Tensor(np.zeros((2, 2)), requires_grad=True), Tensor(np.zeros((2, 2)), requires_grad=True)
        build(a, b).backward(given, create_graph=create_graph)
        build(a, b).sum().backward(create_graph=create_graph)
        arrays = [t.grad._array for t in (a, b) if t.grad is not None] + [given._array]
        assert len(arrays) == 3
        for i, one in enumerate(arrays):
            assert not any(np.shares_memory(one, other) for other in arrays[i + 1 :])
    only = leaf(1.0)
    mine = Tensor(np.ones(1))
    only.backward(mine)
    assert only.grad is not None
    only.grad.assign_(7.0)
    assert mine.item() == 1


def test_gradients_can_be_changed_in_place() -> None:
    x = random(3, 4)
    x.T.sum().backward()
    assert x.grad is not None
    x.grad.assign_(0.0)  # such as clipping does
    assert not x.grad.data.any()


def test_unbroadcasting() -> None:
    a, b, c = random(3, 1), random(4), random()
    g = Tensor(np.random.default_rng(5).standard_normal((3, 4)))
    (a * b + c).backward(g)
    assert a.grad is not None
    assert b.grad is not None
    assert c.grad is not None
    np.testing.assert_allclose(a.grad.data, (g.data * b.data).sum(1, keepdims=True))
    np.testing.assert_allclose(b.grad.data, (g.data * a.data).sum(0))
    np.testing.assert_allclose(c.grad.data, g.data.sum())


def test_grad_leaves_leaves_alone_and_reaches_inner_tensors() -> None:
    x, unused = leaf(2.0), leaf(1.0)
    y = x * x
    z = y * y
    dy, dx, nothing = grad(z, [y, x, unused])
    assert (dy is not None and dy.item(), dx is not None and dx.item(), nothing) == (8, 32, None)
    assert x.grad is None
    same, _ = grad(x * 1.0, [x, unused])
    assert same is not None
    (itself,) = grad(x, [x])
    assert itself is not None
    assert itself.item() == 1


# ---------------------------------------------------------------- higher orders


def test_second_and_third_derivatives_of_known_functions() -> None:
    at = np.array([0.3, 1.2, 2.0])
    known = {
        "x^4": (lambda x: x**4, 12 * at**2, 24 * at),
        "exp 2x": (lambda x: (x * 2.0).exp(), 4 * np.exp(2 * at), 8 * np.exp(2 * at)),
        "log": (lambda x: x.log(), -1 / at**2, 2 / at**3),
        "1/x": (lambda x: 1.0 / x, 2 / at**3, -6 / at**4),
        "sqrt": (lambda x: x.sqrt(), -0.25 * at**-1.5, 0.375 * at**-2.5),
        "tanh": (
            lambda x: x.tanh(),
            -2 * np.tanh(at) / np.cosh(at) ** 2,
            (4 * np.tanh(at) ** 2 - 2 / np.cosh(at) ** 2) / np.cosh(at) ** 2,
        ),
        "2^x": (lambda x: 2.0**x, np.log(2) ** 2 * 2**at, np.log(2) ** 3 * 2**at),
    }
    for name, (f, second, third) in known.items():
        x = leaf(*at)
        (d1,) = grad(f(x).sum(), [x], create_graph=True)
        assert d1 is not None
        (d2,) = grad(d1.sum(), [x], create_graph=True)
        assert d2 is not None
        (d3,) = grad(d2.sum(), [x])
        assert d3 is not None
        np.testing.assert_allclose(d2.data, second, rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(d3.data, third, rtol=1e-12, err_msg=name)


def test_backward_with_create_graph_makes_gradients_differentiable() -> None:
    x = leaf(3.0)
    (x**3).backward(create_graph=True)
    first = x.grad
    assert first is not None
    assert first.item() == 27
    x.grad = None
    first.backward()
    assert x.grad is not None
    assert x.grad.item() == 18


LABELS = Tensor(np.array([1, 0, 2]))
FUSED = {
    "softmax": (lambda x: softmax(x), [(3, 4)]),
    "cross_entropy": (lambda x: cross_entropy(x, LABELS, 0.1), [(3, 4)]),
    "layer_norm": (layer_norm, [(3, 4), (4,), (4,)]),
    "gelu": (lambda x: gelu(x, "tanh"), [(3, 4)]),
    "attention": (lambda q, k, v: attention(q, k, v, causal=True), [(1, 2, 3, 2)] * 3),
    "a chain of them": (
        lambda x, w, b: cross_entropy(gelu(layer_norm(x, w, b), "tanh") @ x.mT, LABELS),
        [(3, 4), (4,), (4,)],
    ),
}


@pytest.mark.parametrize("name", FUSED)
def test_gradients_of_gradients_through_fused_ops(name: str) -> None:
    f, shapes = FUSED[name]
    rng = np.random.default_rng(3)
    inputs = [Tensor(rng.standard_normal(shape)) for shape in shapes]
    directions = [Tensor(rng.standard_normal(shape)) for shape in shapes]

    def slope(*leaves: Tensor) -> Tensor:
        with enable_grad():
            out = f(*leaves)
            cotangent = Tensor(np.random.default_rng(4).standard_normal(out.shape))
            found = grad((out * cotangent).sum(), leaves, create_graph=True)
            total = Tensor(np.zeros(()))
            for g, d in zip(found, directions, strict=True):
                assert g is not None
                total = total + (g * d).sum()
            return total

    assert gradcheck(slope, inputs, eps=1e-5)


def test_a_gradient_penalty_trains_through_shared_parameters() -> None:
    w, x = random(4, 4), random(3, 4, seed=1)

    def penalty(w: Tensor, x: Tensor) -> Tensor:
        with enable_grad():
            (dx,) = grad(((x @ w).tanh() @ w).sum(), [x], create_graph=True)
            assert dx is not None
            return (dx * dx).sum()

    assert gradcheck(penalty, [w, x], eps=1e-5)


# ---------------------------------------------------------------- gradcheck itself


@dataclass
class Wrong(Op):
    """out = a ** 2, with a choice of wrong gradients"""

    how: str

    def infer(self, a: Spec) -> Spec:
        return Spec(a.shape, a.dtype)

    def forward(self, a: Array) -> Any:
        return a**2

    def vjp(self, g: Tensor, out: Spec, a: Tensor) -> tuple[Gradient, ...]:
        return (
            {
                "right": lambda: g * a * 2.0,
                "sign": lambda: -g * a * 2.0,
                "factor": lambda: g * a * 2.0001,
                "only for ones": lambda: a * 2.0,
                "only for sums": lambda: g.mean() * a * 2.0,
                "missing": lambda: None,
                "nan": lambda: g * np.nan,
            }[self.how],
        )


def test_gradcheck_passes_right_gradients() -> None:
    assert gradcheck(Wrong("right"), [random(3, 2)])
    assert gradcheck(lambda a, b: a @ b, [random(3, 2), random(2, 4)])
    assert gradcheck(lambda a, ids: a[ids], [random(3, 2), Tensor([0, 0, 2])])
    assert gradcheck(lambda a: concat([a, a * 2.0]), [random(0, 2)])


@pytest.mark.parametrize("how", ["sign", "factor", "only for ones", "only for sums", "missing", "nan"])
def test_gradcheck_catches_wrong_gradients(how: str) -> None:
    with pytest.raises(GradientError, match="gradcheck: input 0 at"):
        gradcheck(Wrong(how), [random(3, 2)])


class Bare(Op):
    """out = a ** 2, with a rule that gives no tuple, or one of the wrong length"""

    found: Any = None

    def infer(self, a: Spec) -> Spec:
        return Spec(a.shape, a.dtype)

    def forward(self, a: Array) -> Any:
        return a**2

    def vjp(self, g: Tensor, out: Spec, a: Tensor) -> Any:
        return self.found


@pytest.mark.parametrize(
    ("found", "named"), [(None, "NoneType"), (Tensor([1.0]), "Tensor"), ((), "0 of"), ([None] * 2, "2 of")]
)
def test_a_rule_that_gives_no_gradient_for_each_input_is_named(found: Any, named: str) -> None:
    op = Bare()
    op.found = found
    with pytest.raises(GradientError, match=rf"Bare\.vjp gives a tuple.*expected 1, got {named}"):
        op(random(3)).sum().backward()


def test_gradcheck_leaves_its_inputs_alone() -> None:
    x = random(3)
    before = x.numpy()
    gradcheck(lambda t: t * t, [x])
    np.testing.assert_array_equal(x.data, before)
    assert x.grad is None


# ---------------------------------------------------------------- watchers and threads


def test_backward_ops_are_filed_under_the_path_of_their_forward_call(at_path: Any) -> None:
    x, watcher = random(3, 3), Watcher()
    at_path("first")
    h = x @ x
    at_path("second")
    y = h.tanh()
    at_path("loss")
    loss = y.sum()
    at_path("elsewhere")
    with observe(watcher):
        loss.backward()
    assert state().path == "elsewhere"
    filed = {(event.op.name, event.path) for event in watcher.events}
    assert all(event.backward for event in watcher.events)
    assert ("matmul", "first") in filed
    assert ("mul", "second") in filed
    assert ("expand", "loss") in filed
    assert {path for _, path in filed} == {"first", "second", "loss"}


def test_a_second_backward_is_filed_there_too(at_path: Any) -> None:
    x, watcher = leaf(2.0), Watcher()
    at_path("inner")
    y = gelu(x, "tanh")
    at_path("outer")
    with observe(watcher):
        (d,) = grad(y, [x], create_graph=True)
        assert d is not None
        d.backward()
    assert {event.path for event in watcher.events} == {"inner"}


def test_watched_events_carry_inputs_outputs_and_times() -> None:
    x, watcher = random(3, 3), Watcher()
    with observe(watcher):
        y = x.exp()
    (event,) = watcher.events
    assert (event.inputs, event.outputs, event.backward, event.path) == ((x,), (y,), False, "")
    assert 0 < event.start <= event.end


def test_backward_in_a_thread() -> None:
    x = random(4)
    out = (x * x).sum()
    thread = threading.Thread(target=out.backward)
    thread.start()
    thread.join()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.data, 2 * x.data)


def test_many_threads_build_and_walk_their_own_graphs() -> None:
    shared = random(16)
    found: list[Any] = [None] * 8

    def work(number: int) -> None:
        y = shared
        for _ in range(50):
            y = (y * 0.99).tanh() + shared * number
        (found[number],) = grad(y.sum(), [shared])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        together = found[number].numpy()
        work(number)
        np.testing.assert_array_equal(together, found[number].data)

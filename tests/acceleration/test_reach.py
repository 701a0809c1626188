"""Reach: changes of Python values that a function may read are noticed, and others are not."""

from __future__ import annotations

import functools
import tracemalloc
from collections import deque
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tests.acceleration.compile_helper import random
from tinytorch import nn
from tinytorch.acceleration.arguments import put_back, same, same_tree, taken_out, tensors_in
from tinytorch.acceleration.reach import Reach
from tinytorch.models import GPT, MLP
from tinytorch.optim import Adam
from tinytorch.tensor import Tensor

FACTOR = 2.0
UNUSED = 1.0


class Base:
    """A user's class with what a method may read."""

    shared = 3.0

    def __init__(self) -> None:
        self.scale, self.other, self.count = 2.0, "text", 0
        self.parts: Any = [nn.Linear(2, 2), (1, 2)]
        self.lookup: dict[str, Any] = {"a": 1}

    @property
    def doubled(self) -> float:
        return self.scale * 2

    def apply(self, x: Tensor) -> Tensor:
        return x * self.doubled * self.shared * len(self.parts) * self.lookup["a"] * FACTOR

    def __call__(self, x: Tensor) -> Tensor:
        return self.apply(x)


class Slotted:
    __slots__ = ("empty", "scale")

    def __init__(self) -> None:
        self.scale = 1.0


def _global(value: float) -> None:
    global FACTOR
    FACTOR = value


def _unused(value: float) -> None:
    global UNUSED
    UNUSED = value


CHANGES: dict[str, tuple[Any, bool]] = {
    "an attribute behind a property": (lambda thing: setattr(thing, "scale", 3.0), True),
    "an attribute that nobody reads": (lambda thing: setattr(thing, "count", 1), False),
    "the same number again": (lambda thing: setattr(thing, "scale", float("2.0")), False),
    "a number of another type": (lambda thing: setattr(thing, "scale", 2), True),
    "an attribute that hides one of the class": (lambda thing: setattr(thing, "shared", 4.0), True),
    "a new attribute": (lambda thing: setattr(thing, "fresh", 4.0), True),
    "a missing attribute": (lambda thing: delattr(thing, "scale"), True),
    "a method of the object's own": (lambda thing: setattr(thing, "apply", lambda x: x), True),
    "a list that grows": (lambda thing: thing.parts.append(1), True),
    "a list with another part": (lambda thing: thing.parts.__setitem__(0, nn.Linear(2, 2)), True),
    "a list in place of a list": (lambda thing: setattr(thing, "parts", list(thing.parts)), True),
    "a module inside of a list": (lambda thing: setattr(thing.parts[0], "bias", None), True),
    "a dict with another value": (lambda thing: thing.lookup.update(a=2), True),
    "a dict with another key": (lambda thing: thing.lookup.update(b=2), True),
    "a global": (lambda thing: _global(5.0), True),
    "a global that is not named": (lambda thing: _unused(5.0), False),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("form", ["method", "object", "closure", "partial"])
def test_changes(name: str, form: str) -> None:
    change, matters = CHANGES[name]
    thing = Base()
    root: Any = {
        "method": thing.apply,
        "object": thing,
        "closure": lambda x: thing.apply(x),
        "partial": functools.partial(lambda t, x: t.apply(x), thing),
    }[form]
    if form == "method" and name == "a method of the object's own":
        matters = True  # the attribute is new; whether the bound method is the old one is not asked
    reach = Reach(root)
    assert reach.unchanged()
    assert not reach.change()
    change(thing)
    try:
        assert reach.unchanged() == (not matters)
        assert bool(reach.change()) == matters
    finally:
        _global(2.0)


def test_a_change_has_a_name() -> None:
    thing = Base()
    reach = Reach(lambda x: thing.apply(x))
    thing.scale = 9.0
    assert reach.change() == "thing.scale changes"
    model = MLP((2, 3))
    reach = Reach(model)
    model.layers[0].weight = nn.Parameter(random(3, 2))
    assert reach.change() == "layers.0.weight changes"


def test_values_that_come_back() -> None:
    thing = Base()
    reach = Reach(thing)
    for value, holds in ((3.0, False), (2.0, True), (-2.0, False), (2.0, True)):
        thing.scale = value
        assert reach.unchanged() == holds
    old = thing.parts
    thing.parts = [1]
    assert not reach.unchanged()
    thing.parts = old
    assert reach.unchanged()


def test_objects_of_many_kinds() -> None:
    @dataclass
    class Options:
        power: int = 2

    slotted, simple, options = Slotted(), SimpleNamespace(deep=SimpleNamespace(level=1)), Options()
    queue, members = deque([1]), {1, 2}

    def function(x: Tensor) -> Any:
        return x * slotted.scale * simple.deep.level * options.power * len(queue) * len(members)

    changes: list[Any] = [
        lambda: setattr(slotted, "scale", 2.0),
        lambda: setattr(simple.deep, "level", 2),
        lambda: setattr(options, "power", 3),
        lambda: queue.append(2),
        lambda: members.add(3),
    ]
    for change in changes:
        reach = Reach(function)
        assert reach.unchanged()
        change()
        assert not reach.unchanged()


def test_closures_defaults_and_nested_functions() -> None:
    offset, table = 1.0, {"k": 1.0}

    def helper(x: Tensor, more: Any = table) -> Tensor:
        def innermost(y: Tensor) -> Tensor:
            return y + offset

        return innermost(x) * more["k"]

    reach = Reach(lambda x: helper(x))
    assert reach.unchanged()
    table["k"] = 2.0
    assert reach.change() == "helper.k changes"
    reach = Reach(lambda x: helper(x))
    offset = 2.0
    assert reach.change() == "offset changes"


def test_modules_and_optimizers_are_found() -> None:
    model = GPT(20, 8, 16, 2, 2)
    optimizer = Adam(model.parameters())

    def step(x: Tensor) -> None:
        model(x).sum().backward()
        optimizer.step()

    reach = Reach(step)
    assert {id(m) for m in reach.modules} == {id(m) for m in model.modules()}
    assert reach.optimizers == [optimizer]
    assert {id(p) for p in model.parameters()} <= set(reach.tensors)
    step(model.example_input)
    assert not reach.change()  # an optimizer that begins to keep state
    assert not reach.unchanged()
    reach = Reach(step)
    step(model.example_input)
    assert reach.unchanged()
    optimizer.param_groups[0]["eps"] = 1e-6
    assert not reach.unchanged()
    reach = Reach(step)
    optimizer.load_state_dict(optimizer.state_dict())
    assert not reach.unchanged()


def test_attributes_by_text() -> None:
    thing = Base()
    reach = Reach(lambda x: x * getattr(thing, "count"))  # noqa: B009 - that it is found is what is tested
    thing.count = 5
    assert not reach.unchanged()


def test_arrays_are_compared_and_large_ones_refused() -> None:
    small, large = np.zeros(4), np.zeros(1 << 18)
    reach = Reach(lambda x: x + Tensor(small))
    assert reach.unchanged()
    small[2] = np.nan
    assert not reach.unchanged()
    assert "NumPy array small" in reach.change()
    assert "NumPy array large of 2.0 MiB" in Reach(lambda x: x + float(large[0])).refusal


def test_too_much_to_watch() -> None:
    many = list(range(30_000))
    assert "too many to watch" in Reach(lambda x: x * many[0]).refusal


def test_trees_of_arguments() -> None:
    x, y = random(2), random(3)
    tree = {"a": [x, (y, 1)], "b": x, "c": None}
    skeleton, tensors = taken_out(tree)
    assert [id(t) for t in tensors] == [id(x), id(y)]
    assert same_tree(skeleton, taken_out(tree)[0])
    assert not same_tree(skeleton, taken_out({"a": [x, (y, 1.0)], "b": x, "c": None})[0])
    assert not same_tree(skeleton, taken_out({"a": [x, (y, 1)], "b": y, "c": None})[0])
    assert [id(t) for t in tensors_in(put_back(skeleton, tensors))] == [id(x), id(y), id(x)]


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1, True),
        (1, True, False),
        (0.0, -0.0, False),
        (float("nan"), float("nan"), True),
        ("a", "a", True),
        (np.float32(1), np.float32(1), True),
        (np.float32(1), np.float64(1), False),
        (np.float64(0.0), np.float64(-0.0), False),
        (np.dtype("int8"), np.dtype("int8"), True),
        (slice(1, 2), slice(1, 2), True),
        ((1, (2.0,)), (1, (2.0,)), True),
        ([1], [1], False),
        (object(), object(), False),
        (tt.ones(1), tt.ones(1), False),
    ],
)
def test_what_is_the_same(a: Any, b: Any, equal: bool) -> None:
    assert same(a, b) == equal
    assert same(a, a)


class _Link:
    def __init__(self, following: _Link | None) -> None:
        self.following, self.scale = following, 2.0


def test_a_walk_that_finds_no_end_is_given_up() -> None:
    link = None
    for _ in range(100_000):
        link = _Link(link)
    tracemalloc.start()
    found = Reach(lambda x: x * link.following.scale)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100 << 20  # labels that grow along the chain took 4 GiB
    assert "it can reach more than 20,000 Python objects" in found.refusal


def test_the_helpers_of_a_rewritten_assert_are_not_walked_over() -> None:
    def checked(x: Tensor) -> Tensor:
        assert x.ndim == 2
        return x

    assert "@pytest_ar" in checked.__globals__
    found = Reach(checked)
    assert not found.refusal
    assert not [label for holder, _, _ in found._before for label in holder.names if "@" in str(label)]

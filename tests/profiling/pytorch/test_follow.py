"""Following calls through modules: whose time it is, under which name, and that nothing stays behind."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tinytorch.models import GPT, MLP
from tinytorch.nn import Linear, ReLU
from tinytorch.nn.module import Module
from tinytorch.profiling.pytorch.follow import Follower, below
from tinytorch.profiling.tree import modules_by_path
from tinytorch.tensor import ones


def follow(model: Module, *args: Any) -> list[str]:
    """The paths at work one after the other, without what is outside the model."""
    one, _ = Follower(modules_by_path(model)).run(lambda: model(*args))
    return [record.path for record in one.records]


class Twice(Module):
    """Calls one child under two names, and itself once more."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Linear(2, 2)
        self.relu = ReLU()
        self.again = self.first

    def forward(self, x: Any, deeper: bool = True) -> Any:
        x = self.relu(self.again(self.first(x)))
        return self(x, False) if deeper else x


def test_time_is_that_of_the_module_at_work_and_adds_up() -> None:
    model = MLP((4, 3, 2))
    follower = Follower(modules_by_path(model))
    one, out = follower.run(lambda: model(model.example_input))
    assert out.shape == (1, 2)
    paths = [record.path for record in one.records]
    layers = [part for i in range(3) for part in (f"layers.{i}", "layers")]
    assert paths == ["", "", "flatten", "", "layers", *layers, "", ""]
    whole, _ = one.self_times()
    assert sum(whole.values()) == pytest.approx(one.seconds)
    assert all(record.start <= record.end == record.seen <= record.done for record in one.records)
    assert all(a.done == b.start for a, b in zip(one.records, one.records[1:], strict=False))


def test_a_shared_module_and_one_that_calls_itself() -> None:
    paths = follow(Twice(), ones(1, 2))
    assert paths.count("first") == 4
    assert paths.count("relu") == 2
    assert set(paths) == {"", "first", "relu"}


def test_blocks_have_their_numbers() -> None:
    model = GPT(vocab_size=10, context=8, width=8, layers=2, heads=2)
    paths = set(follow(model, model.example_input))
    assert {"blocks.0.attn.q_proj", "blocks.1.mlp.act", "wte", "head"} <= paths


@pytest.mark.parametrize(
    ("path", "names", "expected"),
    [
        ("", ["only"], "only"),
        ("b", ["a.relu", "b.relu"], "b.relu"),
        ("b", ["b.c.relu", "b.relu"], "b.relu"),
        ("elsewhere", ["a.relu", "b.relu"], "a.relu"),
        ("", ["a.b.relu", "relu"], "relu"),
    ],
)
def test_a_name_is_the_nearest_one(path: str, names: list[str], expected: str) -> None:
    assert below(path, names) == expected


def test_an_error_passes_and_nothing_stays() -> None:
    class Broken(Module):
        def __init__(self) -> None:
            super().__init__()
            self.child = ReLU()

        def forward(self, x: Any) -> Any:
            self.child(x)
            raise RuntimeError("broken")

    model = Broken()
    follower = Follower(modules_by_path(model))
    with pytest.raises(RuntimeError, match="broken"):
        follower.run(lambda: model(ones(2)))
    assert all("forward" not in vars(one) for one in model.modules())
    assert follower.path == ""


def test_an_error_inside_that_is_caught_leaves_the_path_right() -> None:
    class Careful(Module):
        def __init__(self) -> None:
            super().__init__()
            self.child, self.relu = Linear(3, 3), ReLU()

        def forward(self, x: Any) -> Any:
            try:
                return self.child(x)
            except Exception:  # noqa: BLE001 - any error of the child will do
                return self.relu(x)

    assert follow(Careful(), ones(1, 2)) == ["", "", "child", "", "relu", "", ""]


def test_a_forward_of_the_users_own_is_called_and_kept() -> None:
    model = MLP((2, 2))

    def forward(x: Any) -> str:
        return "mine"

    vars(model)["forward"] = forward
    _, out = Follower(modules_by_path(model)).run(lambda: model(None))
    assert out == "mine"
    assert vars(model)["forward"] is forward


def test_other_threads_are_not_followed() -> None:
    model = MLP((4, 3))
    follower = Follower(modules_by_path(model))

    def elsewhere() -> None:
        thread = threading.Thread(target=lambda: model(model.example_input))
        thread.start()
        thread.join()

    one, _ = follower.run(elsewhere)
    assert [record.path for record in one.records] == [""]

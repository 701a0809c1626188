"""Compiled calls in every mode: training, evaluation, random numbers, watched, on backends, without LLVM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinytorch as tt
from tests.acceleration.compile_helper import Runs, close, counting_runs, random, same_state
from tinytorch import nn
from tinytorch.nn import functional
from tinytorch.ops import context
from tinytorch.ops.arithmetic import Add
from tinytorch.ops.context import OpEvent, register_kernel
from tinytorch.ops.elementwise import Relu
from tinytorch.optim import SGD, AdamW
from tinytorch.profiling import ProfilerContext
from tinytorch.tensor import Tensor


@pytest.fixture
def runs() -> Iterator[Runs]:
    with counting_runs() as found:
        yield found


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, generator=tt.Generator(1)),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 3, generator=tt.Generator(2)),
    )


def dropping() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 16, generator=tt.Generator(1)),
        nn.Dropout(0.5),
        nn.Linear(16, 4, generator=tt.Generator(2)),
        nn.Dropout(0.25),
    )


# ---------------------------------------------------------------- training and evaluation


@pytest.mark.parametrize("grad", [True, False])
def test_batch_norm_in_both_modes(grad: bool, runs: Runs) -> None:
    a, b = convolutional(), convolutional()
    fast = tt.compile(b)
    with tt.enable_grad() if grad else tt.no_grad():
        for seed in range(12):
            for model in (a, b):
                model.train(seed % 4 < 2)
            x = random(3, 2, 4, 4, seed=seed)
            close(fast(x), a(x), 1e-4)
            same_state(b, a)
    assert len(runs) >= 8


def test_modes_of_single_layers_count(runs: Runs) -> None:
    a, b = convolutional(), convolutional()
    fast = tt.compile(b)
    for seed in range(6):
        for model in (a, b):
            model[1].train(seed % 2 == 0)
        x = random(3, 2, 4, 4, seed=seed)
        close(fast(x), a(x), 1e-4)
        same_state(b, a)


def test_dropout_draws_the_same_stream(runs: Runs) -> None:
    a, b = dropping(), dropping()
    fast = tt.compile(b)
    tt.manual_seed(5)
    want = [a(random(3, 5, seed=seed)) for seed in range(6)]
    after = tt.rand(3)
    tt.manual_seed(5)
    for seed in range(6):
        close(fast(random(3, 5, seed=seed)), want[seed])
    close(tt.rand(3), after)
    assert len(runs) == 5
    b.eval()
    a.eval()
    x = random(3, 5)
    for _ in range(4):
        close(fast(x), a(x))


def test_gradients_know_the_mask(runs: Runs) -> None:
    a, b = dropping(), dropping()
    fast = tt.compile(b)
    for seed in range(4):
        grads = []
        for call, model in ((a, a), (fast, b)):
            model.zero_grad()
            tt.manual_seed(seed)
            out = call(random(3, 5, seed=seed))
            tt.rand(7)
            out.sum().backward()
            grads.append([p.grad for p in model.parameters()])
        close(grads[1], grads[0])
    assert len(runs) == 3


def test_generators_of_the_users_own(runs: Runs) -> None:
    def build() -> Any:
        generator = tt.Generator(3)
        return generator, nn.Dropout(0.5, generator=generator)

    (ga, a), (gb, b) = build(), build()
    fast = tt.compile(b)
    x = tt.ones(4, 8)
    for seed in range(8):
        close(fast(x), a(x))
        assert gb.state.tolist() == ga.state.tolist()
        if seed == 3:
            ga.manual_seed(9)
            gb.manual_seed(9)
        if seed == 5:
            ga, gb = tt.Generator(11), tt.Generator(11)
            a.generator, b.generator = ga, gb
    assert len(runs) >= 5


def test_a_generator_that_is_made_at_each_call(runs: Runs) -> None:
    def function(x: Tensor) -> Tensor:
        return x + tt.Generator(7).rand(3)

    fast = tt.compile(function)
    for _ in range(3):
        close(fast(tt.ones(3)), function(tt.ones(3)))


def test_random_numbers_of_every_kind(runs: Runs) -> None:
    def function(x: Tensor) -> Any:
        return (
            x + tt.randn(4),
            tt.randint(0, 9, (3,)),
            tt.rand(2, dtype="float64"),
            functional.dropout(x, 0.5),
        )

    fast = tt.compile(function)
    for seed in range(4):
        tt.manual_seed(seed)
        want = function(tt.ones(4))
        tt.manual_seed(seed)
        close(fast(tt.ones(4)), want)
    assert len(runs) == 3


def test_a_training_step_with_dropout_and_noise(runs: Runs) -> None:
    a, b = dropping(), dropping()

    def make(model: nn.Module) -> Any:
        optimizer = AdamW(model.parameters(), lr=0.01)
        loss = nn.CrossEntropyLoss()

        def step(x: Tensor, y: Tensor) -> Tensor:
            optimizer.zero_grad()
            value = loss(model(x + tt.randn(3, 5) * 0.1), y)
            value.backward()
            optimizer.step()
            return value

        return step

    eager, step = make(a), tt.compile(make(b))
    for seed in range(6):
        x, y = random(3, 5, seed=seed), Tensor([0, 1, 3])
        tt.manual_seed(seed)
        want = eager(x, y)
        tt.manual_seed(seed)
        close(step(x, y), want)
        same_state(b, a)
    assert len(runs) == 4


# ---------------------------------------------------------------- who watches


class Recorder:
    """An observer that remembers what it saw."""

    def __init__(self) -> None:
        self.events: list[OpEvent] = []
        self.exits: list[str] = []

    def on_op(self, event: OpEvent) -> None:
        self.events.append(event)

    def on_exit(self, tensor: Tensor, how: str) -> None:
        self.exits.append(how)


def test_observers_see_inside_of_a_program(runs: Runs) -> None:
    model = convolutional().eval()
    fast = tt.compile(model)
    x = random(3, 2, 4, 4)
    with tt.no_grad():
        fast(x)
        watcher = Recorder()
        with tt.observe(watcher):
            seen = fast(x)
        close(seen, model(x), 1e-4)
    assert len(runs) == 1
    paths = {event.path for event in watcher.events}
    assert any(path.startswith("0") for path in paths)
    assert any(path.startswith("4") for path in paths)
    assert all(event.end >= event.start for event in watcher.events)


def test_the_first_call_may_be_watched(runs: Runs) -> None:
    model = dropping().eval()
    fast = tt.compile(model)
    x = random(3, 5)
    watcher = Recorder()
    with tt.no_grad():
        with tt.observe(watcher):
            close(fast(x), model(x))
        eager = [event.op.name for event in watcher.events]
        assert len(eager) > 2
        assert eager[: len(eager) // 2] == eager[len(eager) // 2 :]
        for _ in range(3):
            close(fast(x), model(x))
    assert len(runs) == 2


def test_a_profile_of_a_compiled_model_and_step() -> None:
    model = dropping().eval()
    fast = tt.compile(model)
    x = random(3, 5)
    with tt.no_grad():
        fast(x)
        with ProfilerContext(runs=3, warmup=1, roof=False, report=False) as profiler:
            profiler.profile_function(fast, [x])
    assert profiler.profile.flops
    assert profiler.profile.flops > 0
    close(fast(x), model(x))


def test_under_meta_only_shapes_are_found() -> None:
    model = dropping().eval()
    fast = tt.compile(model)
    x = random(3, 5)
    close(fast(x), model(x))
    with tt.meta():
        assert fast(tt.zeros(100_000, 5)).shape == (100_000, 4)
    close(fast(x), model(x))


# ---------------------------------------------------------------- backends and rules


def test_another_backend_runs_its_own_kernels(runs: Runs) -> None:
    register_kernel("test-half", Add)(lambda op, a, b: (a + b) / 2)
    fast = tt.compile(lambda x: x + x)
    x = tt.ones(3)
    close(fast(x), x * 2.0)
    close(fast(x), x * 2.0)
    with tt.use_backend("test-half"):
        close(fast(x), x)
    with tt.use_backend("naive"):
        close(fast(x), x * 2.0)
    assert len(runs) == 1
    with tt.use_backend("compiled"):
        close(fast(x), x * 2.0)
    close(fast(x), x * 2.0)
    assert len(runs) == 3


@pytest.fixture
def keep() -> Iterator[Any]:
    yield context.keep_rules
    context.rules.clear()
    context.keep_rules(())


def test_an_op_with_a_learners_rule_runs_that_rule(keep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []
    original = Relu.forward

    def forward(self: Any, x: Any) -> Any:
        calls.append(x.shape)
        return original(self, x)

    fast = tt.compile(lambda x, w: ((x @ w).relu() * 2.0).sum(0))
    x, w = random(3, 4), random(4, 2, seed=1)
    want = ((x @ w).relu() * 2.0).sum(0)
    for _ in range(2):
        close(fast(x, w), want)
    monkeypatch.setattr(Relu, "forward", forward)
    keep(["Relu"])
    for _ in range(4):
        close(fast(x, w), want)
    assert len(calls) == 4
    fused = tt.compile(lambda x: functional.gelu(x))
    keep(["Tanh", "Mul"])
    for _ in range(3):
        close(fused(x), functional.gelu(x))


def test_a_learners_rule_on_a_weight_alone_runs_too(keep: Any) -> None:
    weight = random(4)
    fast = tt.compile(lambda x: x * weight.relu().exp())
    keep(["Relu"])
    x = random(3, 4)
    with tt.no_grad():
        for _ in range(3):
            close(fast(x), x * weight.relu().exp())
    assert fast.graph.prologue == []


# ---------------------------------------------------------------- without LLVM

_BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("llvmlite", "numba"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
import json
import numpy as np
import tinytorch as tt
from tinytorch import nn
from tinytorch.optim import Adam
def build():
    first, last = nn.Linear(5, 8, generator=tt.Generator(1)), nn.Linear(8, 3, generator=tt.Generator(2))
    model = nn.Sequential(first, nn.GELU(), last)
    optimizer = Adam(model.parameters())
    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss
    return model, step
(a, eager), (b, step) = build(), build()
fast, step = tt.compile(b), tt.compile(step)
worst = 0.0
for seed in range(5):
    x = tt.Tensor(np.random.default_rng(seed).standard_normal((4, 5)).astype(np.float32))
    worst = max(worst, abs(eager(x).item() - step(x).item()))
    worst = max(worst, float(abs(a(x).numpy() - fast(x).numpy()).max()))
print(json.dumps({"worst": worst, "programs": repr(step) + repr(fast), "llvm": "llvmlite" in sys.modules}))
"""


def test_without_llvm_numpy_runs_the_programs() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _BLOCKED], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["worst"] < 1e-6
    assert not found["llvm"]
    assert found["programs"] == "compiled(step, 1 program)compiled(Sequential, 1 program)"
    assert run.stderr.count("llvmlite") == 1
    assert len(run.stderr.strip().splitlines()) == 1


def test_importing_the_package_does_not_import_llvm() -> None:
    code = "import sys, tinytorch; print('llvmlite' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("rows", [1, 5])
def test_programs_on_numpy_agree_with_native_ones(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinytorch.acceleration import compiled
    from tinytorch.acceleration.runner import Interpreted

    model = dropping().eval()
    native = tt.compile(model)
    monkeypatch.setattr(compiled, "make_runner", Interpreted)
    plain = tt.compile(model)
    x = random(rows, 5)
    for _ in range(2):
        a, b = native(x), plain(x)
        close(a, b)
    optimizer = SGD(model.parameters(), lr=0.1)
    for call in (native, plain):
        optimizer.zero_grad()
        call(x).sum().backward()
    assert np.isfinite(model[0].weight.numpy()).all()

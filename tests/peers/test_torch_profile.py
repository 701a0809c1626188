"""Profiles of PyTorch's modules: times under the right paths, nothing left behind, and bad input."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from tests.peers.modules import quick, resnet
from tinytorch.errors import ProfilingError
from tinytorch.models import GPT, MLP
from tinytorch.profiling.context import ONE_AT_A_TIME
from tinytorch.profiling.pytorch.module import profile_torch
from tinytorch.profiling.pytorch.twin import twin_of
from tinytorch.profiling.pytorch.watch import OpWatch, TorchFollower


def small_gpt() -> GPT:
    return GPT(vocab_size=50, context=16, width=32, layers=2, heads=4)


# ---------------------------------------------------------------- times


def test_times_add_up_and_are_under_the_right_paths() -> None:
    twin = twin_of(small_gpt())
    found = quick(twin, torch.randint(0, 50, (1, 16)), backward=True)
    rows = {row.path: row for row in found.modules}
    assert rows[""].kind == "GPT"
    assert rows["blocks.1.attn.q_proj"].kind == "Linear"
    assert rows["blocks.1.attn.q_proj"].depth == 4
    runs = len(found.passes[""])
    watched = [sum(times[i] for times in found.passes.values()) for i in range(runs)]
    assert rows[""].total_seconds.value == pytest.approx(float(np.median(watched)))
    assert rows["blocks.0.mlp.fc1"].backward_seconds > 0
    assert sum(row.kernel_seconds for row in rows.values()) < sum(watched)
    assert found.timing is not None
    assert len(found.timing.samples) == 5
    assert found.overhead is not None
    assert {op.name for op in found.ops} >= {
        "addmm",
        "mm",
        "gelu",
        "gelu_backward",
        "native_layer_norm_backward",
    }
    assert [part.op for part in found.timeline if part.path == "wte"][:1] == ["embedding"]
    view = next(op for op in found.ops if op.name == "view")
    assert view.calls > 0
    assert view.seconds.value == view.flops == view.bytes == 0


def test_gradients_are_filed_under_the_module_whose_forward_made_them() -> None:
    model = small_gpt()
    twin, ids = twin_of(model), torch.randint(0, 50, (1, 16))
    follower = TorchFollower(twin)
    watch = OpWatch(follower, count=True)

    def call() -> None:
        out = twin(ids)
        follower.follow_back(out)
        out.backward(torch.ones_like(out))

    watch.run(call)
    paths = [key.path for key, _ in watch.rows if key.backward and key.path]
    order = list(dict.fromkeys(paths))
    assert order[:4] == ["head", "norm", "blocks.1.mlp.fc2", "blocks.1.mlp.act"]
    assert order[-1] == "wte"
    assert {key.path for key, _ in watch.rows if key.op == "gelu_backward"} == {
        "blocks.0.mlp.act",
        "blocks.1.mlp.act",
    }
    one, _ = follower.run(call)
    assert {record.path for record in one.records if record.backward} >= set(paths)


def test_a_pass_that_is_computed_again_for_its_gradient_is_filed_right() -> None:
    class Checkpointed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return checkpoint(self.body, x, use_reentrant=False)

    found = quick(Checkpointed(), torch.randn(3, 4, requires_grad=True), backward=True)
    rows = {row.path: row for row in found.modules}
    assert rows["body.0"].matmul_flops == 4 * 2 * 3 * 4 * 4  # forward twice, and two gradients
    assert rows["body.1"].backward_seconds > 0


def test_a_shared_module_is_filed_where_it_is_called() -> None:
    class Shared(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            relu = torch.nn.ReLU()
            self.a = torch.nn.Sequential(torch.nn.Linear(3, 3), relu)
            self.b = torch.nn.Sequential(torch.nn.Linear(3, 3), relu)

        def forward(self, x: torch.Tensor, again: bool = True) -> torch.Tensor:
            x = self.b(self.a(x))
            return self(x, False) if again else x

    found = quick(Shared(), torch.randn(2, 3))
    rows = {row.path: row for row in found.modules}
    assert rows["a.1"].flops == rows["b.1"].flops == 2 * 6
    assert rows["a.0"].matmul_flops == 2 * 2 * 2 * 3 * 3


def test_parameters_are_counted_once() -> None:
    twin = twin_of(small_gpt())
    rows = {row.path: row for row in quick(twin, torch.randint(0, 50, (1, 16))).modules}
    in_all = 4 * sum(p.numel() for p in twin.parameters())
    assert sum(row.parameter_bytes for row in rows.values()) == in_all - 4 * 16 * 32  # wpe itself never runs
    assert rows["wte"].parameter_bytes == 4 * 50 * 32
    assert rows["head"].parameter_bytes == 0  # tied


def test_the_report_is_that_of_our_own_models() -> None:
    found = quick(resnet(), torch.randn(2, 3, 16, 16), name="ResNet")
    lines = repr(found).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("ResNet: a forward pass takes")
    assert any("Conv2d" in line for line in lines)
    assert found.kind == "PyTorch module"
    assert found.configuration["threads"] == str(torch.get_num_threads())
    assert found.configuration["inputs"] == "float32[2, 3, 16, 16]"
    assert found.configuration["recorded for backward"] == "yes"


def test_a_single_run_runs_once() -> None:
    class Counting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls, self.linear = 0, torch.nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.linear(x)

    module = Counting()
    found = quick(module, torch.randn(2, 4), runs=1, backward=True)
    assert module.calls == 1
    assert found.matmul_flops == 2 * 2 * 2 * 4 * 4
    assert found.overhead is None
    assert found.notes[0].startswith("one run")
    assert next(row for row in found.modules if row.path == "linear").self_seconds.value > 0


# ---------------------------------------------------------------- nothing left behind


def state(module: torch.nn.Module) -> list[Any]:
    return [value.clone() for value in module.state_dict().values()]


def hooked(module: torch.nn.Module) -> Iterator[Any]:
    hooks = torch.nn.modules.module
    yield from (hooks._global_forward_hooks, hooks._global_forward_pre_hooks, hooks._global_backward_hooks)
    for one in module.modules():
        yield from (one._forward_hooks, one._forward_pre_hooks, one._backward_hooks, one._backward_pre_hooks)
        yield {name: value for name, value in vars(one).items() if name == "forward"}


class Moving(torch.nn.Module):
    """Puts a new buffer in the place of an old one."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = self.seen + 1
        return x


def test_everything_is_as_before() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5))
    model[1].eval()
    model.append(Moving())
    x = torch.randn(6, 4, requires_grad=True)
    model[0].weight.grad = torch.ones(4, 4)
    kept, gradient, modes = state(model), model[0].weight.grad, [one.training for one in model.modules()]
    stream, seen = torch.get_rng_state(), model[3].seen
    quick(model, x, backward=True)
    assert all(map(torch.equal, state(model), kept))
    assert model[3].seen is seen
    assert model[0].weight.grad is gradient
    assert torch.equal(gradient, torch.ones(4, 4))
    assert model[0].bias.grad is None
    assert x.grad is None
    assert [one.training for one in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), stream)
    assert not any(hooked(model))


def test_an_error_passes_through_and_leaves_nothing() -> None:
    class Broken(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.calls = torch.nn.BatchNorm1d(4), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls > 3:
                raise RuntimeError("broken")
            return self.norm(x)

    module = Broken()
    kept = state(module)
    with pytest.raises(RuntimeError, match="broken"):
        quick(module, torch.randn(3, 4))
    assert all(map(torch.equal, state(module), kept))
    assert not any(hooked(module))
    assert ONE_AT_A_TIME.acquire(blocking=False)
    ONE_AT_A_TIME.release()
    assert not torch.utils._python_dispatch._get_current_dispatch_mode_stack()


def test_hooks_of_the_graph_are_removed_where_it_lives_on() -> None:
    linear = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh())
    before = (torch.randn(2, 3, requires_grad=True) * 2).tanh()  # a graph from outside that stays
    called: list[int] = []
    follower = TorchFollower(linear)

    def call() -> torch.Tensor:
        out = linear(before)
        follower.follow_back(out)
        out.backward(torch.ones_like(out), retain_graph=True)
        return out

    _, out = follower.run(call)
    records = len(follower.records)
    out.register_hook(lambda g: called.append(1))
    out.backward(torch.ones_like(out))
    assert called == [1]
    assert len(follower.records) == records


def test_a_scripted_module_is_part_of_the_one_around_it() -> None:
    inner = torch.jit.trace(torch.nn.Linear(3, 3), torch.ones(2, 3))
    rows = {
        row.path: row for row in quick(torch.nn.Sequential(inner, torch.nn.ReLU()), torch.ones(2, 3)).modules
    }
    assert rows[""].matmul_flops == 2 * 2 * 3 * 3
    assert "0" not in rows
    assert rows["1"].flops == 6


def test_work_of_other_threads_is_not_followed() -> None:
    class Elsewhere(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            thread = threading.Thread(target=lambda: self.linear(x))
            thread.start()
            thread.join()
            return x + 1

    rows = {row.path: row for row in quick(Elsewhere(), torch.randn(2, 3)).modules}
    assert "linear" not in rows or rows["linear"].self_seconds.value == 0
    assert rows[""].flops == 6


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("module", "args", "settings", "message"),
    [
        (MLP(), (), {}, "MLP is not a torch.nn.Module. profile_model profiles"),
        (torch.nn.Linear(3, 3), torch.ones(3), {}, "args is Tensor; expected a tuple"),
        (torch.nn.Linear(3, 3), (), {}, "missing a required argument: 'input'"),
        (torch.nn.Linear(3, 3), (torch.ones(3),), {"runs": 0}, "runs=0"),
        (
            torch.nn.Linear(3, 3),
            (torch.ones(3),),
            {"kwargs": {"bias": 1}},
            "unexpected keyword argument 'bias'",
        ),
        (torch.nn.Linear(3, 3, device="meta"), (torch.ones(3),), {}, "a tensor is on meta"),
        (
            torch.nn.Flatten(),
            (torch.ones(3, 3),),
            {"backward": True},
            "backward needs a tensor that has a gradient",
        ),
    ],
)
def test_bad_input(module: Any, args: Any, settings: Any, message: str) -> None:
    with pytest.raises(ProfilingError, match=message):
        profile_torch(module, args, **{"roof": False} | settings)


def test_a_compiled_module_is_refused() -> None:
    with pytest.raises(ProfilingError, match=r"torch\.compile made one program.*Profile the module that was"):
        quick(torch.compile(torch.nn.Linear(3, 3)), torch.ones(3))


def test_one_profile_at_a_time() -> None:
    class Inner(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            profile_torch(torch.nn.Identity(), (x,), runs=2, roof=False)
            return x

    with pytest.raises(ProfilingError, match="another profile is being taken"):
        quick(Inner(), torch.ones(3))


def test_results_in_dictionaries_and_tuples_have_gradients() -> None:
    class Many(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> dict[str, Any]:
            return {"ids": torch.ones(2), "logits": (self.linear(x), None)}

    assert quick(Many(), torch.randn(2, 3), backward=True).matmul_flops == 2 * 2 * 2 * 3 * 3

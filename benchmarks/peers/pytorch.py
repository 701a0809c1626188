"""PyTorch as a peer: eager and torch.compile, forward and training step, in the better memory format."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo.config
from torch._inductor import cpp_builder
from torch._inductor.exc import InvalidCxxCompiler

from benchmarks.interleave import per_call
from benchmarks.peers.arm import COMPILE, EAGER, Arm, UnavailableError, uses
from tinytorch import nn
from tinytorch.ops.spec import Array
from tinytorch.profiling.pytorch.twin import twin_of

# Past this many compilations of one forward pass PyTorch would go on in eager mode without a word.
torch._dynamo.config.fail_on_recompile_limit_hit = True

CONTIGUOUS = "contiguous"
FORMATS = {CONTIGUOUS: torch.contiguous_format, "channels_last": torch.channels_last}
OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], float]] = {
    "sgd": (torch.optim.SGD, 0.01),
    "adamw": (torch.optim.AdamW, 1e-3),
}


def eager_forward(model: nn.Module, x: Array) -> list[Arm]:
    """A forward pass in each memory format that may be the better one."""
    arms = []
    for name in formats(model):
        twin, given = placed(model, x, name)
        arms.append(
            Arm(
                EAGER,
                _how(name),
                functools.partial(twin, given),
                _array,
                functools.partial(in_script, twin, given),
                "ops called from TorchScript",
            )
        )
    return arms


def compiled_forward(model: nn.Module, x: Array, threads: int) -> list[Arm]:
    """torch.compile with freezing: in each format, called through Python or through a wrapper in C++."""
    require_compiler()
    arms = []
    for name in formats(model):
        for wrapper in (False, True):
            twin, given = placed(model, x, name)
            options: dict[str, Any] = {"freezing": True, "cpp_wrapper": wrapper, "cpp.threads": threads}
            run = torch.compile(twin, dynamic=False, options=options)
            how = _how(name, "C++ wrapper" if wrapper else "")
            arms.append(Arm(COMPILE, how, functools.partial(run, given), _array))
    return arms


def eager_step(model: nn.Module, optimizer: str, x: Array, y: Array) -> list[Arm]:
    """A training step in each memory format, with PyTorch's plain optimizer and its fused one."""
    return [
        Arm(EAGER, _how(name, "fused" if fused else ""), _step(model, optimizer, x, y, name, fused), _array)
        for name in formats(model)
        for fused in (False, True)
    ]


def compiled_step(model: nn.Module, optimizer: str, x: Array, y: Array, threads: int) -> list[Arm]:
    """Forward pass and loss through torch.compile, and so their gradients; the fused optimizer."""
    require_compiler()
    arms = []
    for name in formats(model):
        for wrapper in (False, True):
            compile_ = functools.partial(
                torch.compile, dynamic=False, options={"cpp_wrapper": wrapper, "cpp.threads": threads}
            )
            run = _step(model, optimizer, x, y, name, True, compile_)
            arms.append(Arm(COMPILE, _how(name, "C++ wrapper" if wrapper else ""), run, _array))
    return arms


def forget_compiled() -> None:
    """Drop what torch.compile has made, so that guards of one workload are not walked through in another."""
    torch._dynamo.reset()


def require_compiler() -> None:
    """Raise UnavailableError where there is no C++ compiler, which torch.compile needs on a CPU."""
    try:
        cpp_builder.get_cpp_compiler()
    except InvalidCxxCompiler:
        raise UnavailableError("no C++ compiler, which torch.compile needs") from None


# ---------------------------------------------------------------- models and inputs


def formats(model: nn.Module) -> list[str]:
    """The memory formats worth trying: the layout of images matters to convolutions alone."""
    return list(FORMATS) if uses(model, nn.Conv2d) else [CONTIGUOUS]


def placed(model: nn.Module, x: Array, name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    """A twin with copies of the weights, and the input, both in a memory format."""
    twin, given = twin_of(model), torch.from_numpy(x.copy())
    if given.ndim == 4:
        twin, given = twin.to(memory_format=FORMATS[name]), given.to(memory_format=FORMATS[name])
    return twin, given


def _how(name: str, also: str = "") -> str:
    """What sets a variant apart: the format where it is not the common one, and what else there is."""
    return ", ".join(word for word in ("" if name == CONTIGUOUS else name, also) if word)


def _step(
    model: nn.Module,
    optimizer: str,
    x: Array,
    y: Array,
    name: str,
    fused: bool,
    compile_: Callable[[Any], Any] | None = None,
) -> Callable[[], torch.Tensor]:
    """One training step of a twin of its own: forward, backward, update; the loss is returned."""
    twin, given = placed(model, x, name)
    labels = torch.from_numpy(y.copy())
    kind, lr = OPTIMIZERS[optimizer]
    updates = kind(twin.parameters(), lr=lr, fused=fused)  # type: ignore[call-arg]

    def loss_of(given: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = twin(given)
        return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels)

    forward = loss_of if compile_ is None else compile_(loss_of)

    def step() -> torch.Tensor:
        updates.zero_grad(set_to_none=True)
        loss: torch.Tensor = forward(given, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        updates.step()
        return loss

    return step


def _array(out: torch.Tensor) -> Array:
    found: Array = out.numpy(force=True)
    return found


# ---------------------------------------------------------------- without Python


class _Passes(torch.nn.Module):
    """All inputs through a model, one after the other, every result kept: a loop that cannot be cut short."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        found = [self.model(inputs[0])]
        for x in inputs[1:]:
            found.append(self.model(x))
        return found


def in_script(twin: torch.nn.Module, given: torch.Tensor) -> Callable[[int], float]:
    """A function of n: seconds of one of n forward passes in a loop of TorchScript, which runs in C++."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and there is no other way into that loop
        passes = torch.jit.script(_Passes(torch.jit.trace(twin, (given,))))  # type: ignore[no-untyped-call]

    def seconds(runs: int) -> float:
        inputs = [given] * runs
        return per_call(lambda: passes(inputs), 1) / runs

    for _ in range(3):  # the first calls are watched, and compiled
        seconds(4)
    return seconds

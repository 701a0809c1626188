"""FLOPs that counters report beside closed formulas: `python -m benchmarks.counters [CASE ...]`.

Runs where PyTorch is (`make peers`); fvcore, thop, ptflops and torchinfo take part where they are installed
(`pip install fvcore thop ptflops torchinfo`). All figures are of convention "matmul", in FLOPs: what a
counter gives in multiply-adds is doubled. Every counter gets the same module and inputs (batch 1, CPU).
"""

from __future__ import annotations

import copy
import logging
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import tinytorch as tt
from tinytorch import console
from tinytorch import nn as ours
from tinytorch.nn import functional as our_functional
from tinytorch.ops.conv import Conv2dInputGrad
from tinytorch.profiling.counting.flops import FLOPCounter
from tinytorch.profiling.pytorch.module import profile_torch

NEAR = 0.05
"""Biases and gates that a counter takes in make this much of a difference; no closer one is called wrong."""
T, D, HEADS, HIDDEN = 128, 512, 8, 2048
PRODUCT = 2 * T * D * D
ATTENTION = 4 * T * T * D


@dataclass(frozen=True)
class Case:
    """A module of PyTorch with inputs, its FLOPs by formula, and the same in TinyTorch where that has it."""

    what: str
    formula: str
    flops: int
    module: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    counterpart: Callable[[], tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] | None = None
    backward: bool = False

    def inputs(self) -> tuple[torch.Tensor, ...]:
        """Zeros of these shapes; with `backward` they want gradients."""
        return tuple(torch.zeros(shape, requires_grad=self.backward) for shape in self.shapes)


class Function(nn.Module):
    """A function as a module, with parameters as its last arguments.

    It looks PyTorch's functions up when it is called, so that counters that replace them see the call.
    """

    def __init__(self, function: Callable[..., torch.Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(torch.zeros(shape) for shape in shapes)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(*inputs, *self.weights)


class SelfAttention(nn.Module):
    """nn.MultiheadAttention of a sequence with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(D, HEADS, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attn(x, x, x, need_weights=False)[0]  # type: ignore[no-any-return]


def _encoder_layer() -> nn.Module:
    return nn.TransformerEncoderLayer(D, HEADS, HIDDEN, batch_first=True).eval()


def _our_attention() -> Any:
    return ours.MultiHeadAttention(D, HEADS), ((1, T, D),)


def _our_encoder_layer() -> Any:
    return ours.TransformerBlock(D, HEADS, HIDDEN / D, causal=False), ((1, T, D),)


def _conv(channels: int, groups: int) -> Any:
    return lambda: nn.Conv2d(32, channels, 3, padding=1, groups=groups, bias=False)


def _our_conv(channels: int, groups: int) -> Any:
    return lambda: (ours.Conv2d(32, channels, 3, padding=1, groups=groups, bias=False), ((1, 32, 56, 56),))


def _our_transposed() -> Any:
    back = Conv2dInputGrad((2, 2), (1, 1), size=(27, 27))
    return lambda x, w: back(x, w), ((1, 16, 14, 14), (16, 8, 3, 3))


HEADS_SHAPE = (1, HEADS, T, D // HEADS)
CASES = {
    "attention-eval": Case(
        "nn.MultiheadAttention, eval mode, no_grad",
        "8 t d^2 + 4 t^2 d",
        4 * PRODUCT + ATTENTION,
        lambda: SelfAttention().eval(),
        ((1, T, D),),
        _our_attention,
    ),
    "attention-backward": Case(
        "nn.MultiheadAttention, eval mode, forward and backward",
        "3 (8 t d^2 + 4 t^2 d)",
        3 * (4 * PRODUCT + ATTENTION),
        lambda: SelfAttention().eval(),
        ((1, T, D),),
        _our_attention,
        backward=True,
    ),
    "encoder-eval": Case(
        "nn.TransformerEncoderLayer, eval mode, no_grad",
        "8 t d^2 + 4 t^2 d + 4 t d h",
        4 * PRODUCT + ATTENTION + 4 * T * D * HIDDEN,
        _encoder_layer,
        ((1, T, D),),
        _our_encoder_layer,
    ),
    "sdpa": Case(
        "functional.scaled_dot_product_attention",
        "4 t^2 d",
        ATTENTION,
        lambda: Function(lambda q, k, v: functional.scaled_dot_product_attention(q, k, v)),
        (HEADS_SHAPE,) * 3,
        lambda: (our_functional.attention, (HEADS_SHAPE,) * 3),
    ),
    "depthwise-backward": Case(
        "nn.Conv2d, depthwise, forward and backward",
        "3 * 2 o h w k^2",
        3 * 2 * 32 * 56 * 56 * 9,
        _conv(32, 32),
        ((1, 32, 56, 56),),
        _our_conv(32, 32),
        backward=True,
    ),
    "grouped-backward": Case(
        "nn.Conv2d, 4 groups, forward and backward",
        "3 * 2 o h w k^2 c / 4",
        3 * 2 * 64 * 56 * 56 * 9 * 8,
        _conv(64, 4),
        ((1, 32, 56, 56),),
        _our_conv(64, 4),
        backward=True,
    ),
    "functional": Case(
        "functional.linear with a weight of the module's own",
        "2 t d^2",
        PRODUCT,
        lambda: Function(lambda x, w: functional.linear(x, w), (D, D)),
        ((1, T, D),),
        lambda: (our_functional.linear, ((1, T, D), (D, D))),
    ),
    "matmul": Case(
        "x @ w",
        "2 t d^2",
        PRODUCT,
        lambda: Function(lambda x, w: x @ w, (D, D)),
        ((1, T, D),),
        lambda: (lambda x, w: x @ w, ((1, T, D), (D, D))),
    ),
    "sequence": Case(
        "nn.Linear on (batch, time, features)",
        "2 t d^2",
        PRODUCT,
        lambda: nn.Linear(D, D),
        ((1, T, D),),
        lambda: (ours.Linear(D, D), ((1, T, D),)),
    ),
    "matrix-vector": Case(
        "torch.mv",
        "2 d^2",
        2 * D * D,
        lambda: Function(lambda x, w: torch.mv(w, x[0]), (D, D)),
        ((1, D),),
        lambda: (lambda x, w: w @ x[0], ((1, D), (D, D))),
    ),
    "baddbmm": Case(
        "torch.baddbmm",
        "2 t^2 d",
        2 * T * T * D,
        lambda: Function(lambda x: torch.baddbmm(x.new_zeros(1, T, T), x, x.mT)),
        ((1, T, D),),
        lambda: (lambda x: x @ x.mT + tt.zeros(1, T, T), ((1, T, D),)),
    ),
    "lstm": Case(
        "nn.LSTM, 10 steps",
        "2 t 4 n (n + n)",
        2 * 10 * 4 * 64 * (64 + 64),
        lambda: nn.LSTM(64, 64, batch_first=True),
        ((1, 10, 64),),
    ),
    "transposed": Case(
        "nn.ConvTranspose2d, stride 2",
        "2 i h w k^2 o, h w of the input",
        2 * 16 * 14 * 14 * 9 * 8,
        lambda: nn.ConvTranspose2d(16, 8, 3, 2, 1, bias=False),
        ((1, 16, 14, 14),),
        _our_transposed,
    ),
}

# ---------------------------------------------------------------- the counters


def _tinytorch(case: Case) -> int | None:
    if case.counterpart is None:
        return None
    function, shapes = case.counterpart()
    with tt.meta():
        inputs = [tt.zeros(shape, requires_grad=case.backward) for shape in shapes]
    return int(FLOPCounter().count(function, inputs=inputs, backward=case.backward))


def _tinytorch_on_torch(case: Case) -> int:
    found = profile_torch(
        case.module(), case.inputs(), runs=1, backward=case.backward, memory=False, roof=False
    )
    return found.matmul_flops


def _flop_counter_mode(case: Case) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        out = case.module()(*case.inputs())
        if case.backward:
            out.sum().backward()
    return int(counter.get_total_flops())


def _fvcore(case: Case) -> int:
    from fvcore.nn import FlopCountAnalysis

    logging.getLogger("fvcore").setLevel(logging.ERROR)
    found = FlopCountAnalysis(case.module(), case.inputs())
    return 2 * int(found.unsupported_ops_warnings(False).total())


def _thop(case: Case) -> int:
    import thop

    found = thop.profile(copy.deepcopy(case.module()), inputs=case.inputs(), verbose=False)
    return 2 * int(found[0])


def _ptflops(case: Case) -> int | None:
    import ptflops

    if len(case.shapes) > 1:  # it makes the one input itself
        return None
    macs, _ = ptflops.get_model_complexity_info(
        case.module(), case.shapes[0][1:], as_strings=False, print_per_layer_stat=False, verbose=False
    )
    return None if macs is None else 2 * int(macs)


def _torchinfo(case: Case) -> int:
    import torchinfo

    found = torchinfo.summary(case.module(), input_data=case.inputs(), verbose=0)
    return 2 * int(found.total_mult_adds)


COUNTERS: dict[str, tuple[str, Callable[[Case], int | None]]] = {
    "TinyTorch, the same layer": ("tinytorch-lab", _tinytorch),
    "TinyTorch, on the PyTorch module": ("tinytorch-lab", _tinytorch_on_torch),
    "FlopCounterMode": ("torch", _flop_counter_mode),
    "fvcore": ("fvcore", _fvcore),
    "thop": ("thop", _thop),
    "ptflops": ("ptflops", _ptflops),
    "torchinfo": ("torchinfo", _torchinfo),
}
FORWARD_ONLY = ("fvcore", "thop", "ptflops", "torchinfo")


def version(package: str) -> str | None:
    """The version that is installed, None for none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def count(name: str, case: Case) -> int | None:
    """What a counter reports, in FLOPs; None where it counts no such thing."""
    if case.backward and name in FORWARD_ONLY:
        return None
    with warnings.catch_warnings(), nullcontext() if case.backward else torch.no_grad():
        warnings.simplefilter("ignore")
        return COUNTERS[name][1](case)


def verdict(found: int | None, expected: int) -> str:
    """How a count compares with the formula.

    >>> verdict(100, 100), verdict(101, 100), verdict(0, 100), verdict(250, 100), verdict(None, 100)
    ('equal', 'near', 'wrong: 0', 'wrong: 2.50x', 'not counted')
    """
    if found is None:
        return "not counted"
    if found == expected:
        return "equal"
    ratio = found / expected
    return "near" if abs(ratio - 1) <= NEAR else f"wrong: {f'{ratio:.2f}x' if found else 0}"


def main(names: list[str]) -> int:
    """Print a table for each case named, all of them without a name; exit code 2 for a name that is none."""
    unknown = [name for name in names if name not in CASES]
    if unknown:
        console.get().complain(f"no case {', '.join(unknown)}; there are: {', '.join(CASES)}")
        return 2
    versions = {name: version(package) for name, (package, _) in COUNTERS.items()}
    for name in names or CASES:
        case = CASES[name]
        found = {c: count(c, case) for c, installed in versions.items() if installed is not None}
        rows = [[f"closed formula: {case.formula}", "", f"{case.flops:,}", ""]]
        rows += [
            [c, versions[c] or "", "-" if flops is None else f"{flops:,}", verdict(flops, case.flops)]
            for c, flops in found.items()
        ]
        console.table(f"{name}: {case.what}", ["counter", "version", "FLOPs", "verdict"], rows)
    missing = [name for name, installed in versions.items() if installed is None]
    if missing:
        console.say(f"Not installed, so not run: {', '.join(missing)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""FLOPs of PyTorch's modules by our rules, beside those of our models, formulas and FlopCounterMode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.peers.modules import quick, resnet
from tinytorch import Tensor, nn
from tinytorch.models import CNN, GPT, MLP
from tinytorch.models.bert import BERT
from tinytorch.nn.module import Module
from tinytorch.profiling.counting.flops import FLOPCounter
from tinytorch.profiling.counting.formulas import Formulas
from tinytorch.profiling.pytorch.module import profile_torch
from tinytorch.profiling.pytorch.twin import array_of, twin_of
from tinytorch.profiling.trace import OpCosts

MODELS: dict[str, Callable[[], Module]] = {
    "mlp": MLP,
    "cnn": CNN,
    "gpt": lambda: GPT(vocab_size=50, context=16, width=32, layers=2, heads=4),
    "bert": lambda: BERT(vocab_size=50, context=16, width=32, layers=2, heads=4, pooler=True),
    "depthwise": lambda: _with_input(
        nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
            nn.BatchNorm2d(8),
            nn.SiLU(),
            nn.Conv2d(8, 16, 3, stride=2, groups=4),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 3 * 3, 5),
        ),
        (2, 8, 14, 14),
    ),
}


FUSED = {("depthwise", False), ("depthwise", True), ("bert", True)}
"""Where batch norm, SiLU, or the gradient of exact GELU is one op in PyTorch and made of parts in ours."""


def _with_input(model: Any, shape: tuple[int, ...]) -> Module:
    model.example_input = Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    return model


def flop_counter(call: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


# ---------------------------------------------------------------- counts


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", list(MODELS))
def test_counts_are_those_of_our_model_module_by_module(name: str, backward: bool) -> None:
    model = MODELS[name]()
    given = model.example_input
    assert given is not None
    theirs = quick(twin_of(model), array_of(torch, given), backward=backward)
    watch = OpCosts()

    def call() -> None:
        out = model(given)
        if backward:
            out.backward(Tensor(np.ones(out.shape, np.float32)))

    watch.run(call)
    ours: dict[str, list[int]] = {}
    for key, cost in watch.rows:
        sums = ours.setdefault(key.path, [0, 0])
        sums[0] += cost.matmul_flops
        sums[1] += cost.flops or 0
    assert theirs.uncounted == ()
    assert theirs.coverage == 1
    assert theirs.matmul_flops == sum(sums[0] for sums in ours.values())
    assert {row.path: row.matmul_flops for row in theirs.modules if row.matmul_flops} == {
        path: sums[0] for path, sums in ours.items() if sums[0]
    }
    if (name, backward) not in FUSED:
        assert {row.path: row.flops for row in theirs.modules if row.flops} == {
            path: sums[1] for path, sums in ours.items() if sums[1]
        }


@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt", "bert"])
def test_counts_are_those_of_our_counter(name: str) -> None:
    model = MODELS[name]()
    assert model.example_input is not None
    theirs = quick(twin_of(model), array_of(torch, model.example_input))
    assert theirs.matmul_flops == int(FLOPCounter().count(model))
    assert theirs.flops == int(FLOPCounter("all").count(model))


@pytest.mark.parametrize("backward", [False, True])
def test_convolutions_agree_with_flop_counter_mode(backward: bool) -> None:
    model, x = resnet(), torch.randn(2, 3, 16, 16)
    expected = flop_counter(lambda: model(x).sum().backward() if backward else model(x))
    assert quick(model, x, backward=backward).matmul_flops == expected


def test_attention_counts_where_flop_counter_mode_says_0() -> None:
    width, heads, t = 32, 4, 10
    q = torch.randn(1, heads, t, width // heads)
    attend = torch.nn.functional.scaled_dot_product_attention
    core = 2 * Formulas().count_attention(t, width, heads, projections=False).macs
    layer = torch.nn.TransformerEncoderLayer(width, heads, 64, dropout=0.0, batch_first=True)
    x = torch.randn(1, t, width)
    mlp = 2 * 2 * t * width * 64
    whole = 2 * Formulas().count_attention(t, width, heads).macs + mlp
    assert flop_counter(lambda: attend(q, q, q)) == 0
    layer.eval()
    with torch.no_grad():
        assert flop_counter(lambda: layer(x)) == 0
        fast = quick(layer, x)
    assert [row.name for row in fast.ops] == ["_transformer_encoder_layer_fwd"]
    assert fast.matmul_flops == whole
    assert flop_counter(lambda: layer(x)) == whole - core  # with gradients recorded, not on the fast path
    slow = quick(layer, x)
    assert slow.matmul_flops == whole
    assert slow.uncounted == fast.uncounted == ()
    assert (
        quick(layer, x, backward=True).matmul_flops == 3 * whole - 2 * t * width * 3 * width
    )  # x needs none


def test_the_fast_path_of_multi_head_attention_stays_the_one_that_runs() -> None:
    width, heads, t = 32, 4, 10
    layer, x = torch.nn.MultiheadAttention(width, heads, batch_first=True).eval(), torch.randn(2, t, width)
    with torch.inference_mode():
        profile = profile_torch(
            layer, (x, x, x), kwargs={"need_weights": False}, runs=3, warmup=0, roof=False
        )
    assert [row.name for row in profile.ops] == ["_native_multi_head_attention"]
    assert profile.matmul_flops == 2 * Formulas().count_attention(t, width, heads, 2).macs
    assert profile.flops == int(Formulas("all").count_attention(t, width, heads, 2))


@pytest.mark.parametrize("backend", ["MATH", "FLASH_ATTENTION"])
def test_attention_counts_the_same_on_each_backend(backend: str) -> None:
    twin = twin_of(MODELS["gpt"]())
    ids = torch.randint(0, 50, (1, 16))
    with torch.nn.attention.sdpa_kernel(getattr(torch.nn.attention.SDPBackend, backend)):
        found = quick(twin, ids, backward=True)
    assert found.matmul_flops == int(FLOPCounter().count(MODELS["gpt"](), backward=True))


def test_inference_mode_counts_the_same() -> None:
    for name in ("cnn", "gpt", "bert"):
        model = MODELS[name]()
        assert model.example_input is not None
        x = array_of(torch, model.example_input)
        with torch.inference_mode():
            found = quick(twin_of(model), x)
        assert found.matmul_flops == int(FLOPCounter().count(model))
        assert found.uncounted == ()
        assert found.configuration["recorded for backward"] == "no"


def test_a_recurrent_layer_is_counted() -> None:
    layer, x = torch.nn.LSTM(8, 5), torch.randn(7, 2, 8)
    found = quick(layer, x)
    assert found.matmul_flops == 7 * 2 * 2 * 4 * 5 * (8 + 5)
    assert found.uncounted == ()


def test_an_op_without_a_rule_is_listed_and_never_0() -> None:
    class Spectrum(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.rfft(x).abs()

    found = quick(Spectrum(), torch.randn(8))
    assert found.flops is None
    assert "_fft_r2c" in found.uncounted
    assert 0 < found.coverage < 1
    assert next(row for row in found.ops if row.name == "_fft_r2c").flops is None


def test_rows_of_different_lengths_are_uncounted() -> None:
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 1).eval()
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    with torch.no_grad():
        found = profile_torch(
            encoder, (torch.randn(2, 5, 16),), kwargs={"src_key_padding_mask": padding}, runs=3, roof=False
        )
    assert found.flops is None
    assert "_transformer_encoder_layer_fwd" in found.uncounted

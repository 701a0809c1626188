"""Published models are counted as published, to the last unit, and their gradients by closed formulas."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import tinytorch as tt
from tests.profiling.zoo import BERT, PUBLISHED, alexnet, gpt2_small, lenet5, mobilenet_v2, resnet50
from tinytorch import nn
from tinytorch.profiling.counting.flops import FLOPCounter, FLOPs

STATUS = Path("/proc/self/status")
BUDGET = 200 * 2**20
"""Bytes in which GPT-2 small is built and counted, the interpreter and all imports included."""


def count(
    make: Callable[[], nn.Module], shape: Sequence[int], convention: str = "matmul", backward: bool = False
) -> FLOPs:
    with tt.meta():
        model = make().eval()
    dtype = "int64" if len(shape) == 2 else None
    return FLOPCounter(convention).count(model, shape, dtype=dtype, backward=backward)


@pytest.mark.parametrize(
    ("name", "make", "shape", "flops", "parameters"), PUBLISHED, ids=lambda x: str(x)[:12]
)
def test_equal_to_the_last_unit(
    name: str, make: Callable[[], nn.Module], shape: tuple[int, ...], flops: int, parameters: int
) -> None:
    found = count(make, shape)
    assert found == flops, name
    assert found.macs * 2 == flops
    assert found.by_module[0].parameters == parameters
    assert (found.coverage, found.uncounted) == (1.0, {})
    assert count(make, (2, *shape[1:])) == 2 * flops
    everything = count(make, shape, "all")
    assert everything.matmul_flops == flops < everything < 1.2 * flops
    assert everything.bytes == found.bytes


# The first layer of an image model has an input that wants no gradient: its part is 1, not 2, times forward.
FIRST = {
    "LeNet-5": 2 * 6 * 28 * 28 * 25,
    "AlexNet": 2 * 64 * 55 * 55 * 363,
    "VGG-16": 2 * 64 * 224 * 224 * 27,
}
FIRST |= {"ResNet-50": 2 * 64 * 112 * 112 * 147, "MobileNetV2": 2 * 32 * 112 * 112 * 27}


@pytest.mark.parametrize(
    ("name", "make", "shape", "flops", "parameters"), PUBLISHED, ids=lambda x: str(x)[:12]
)
def test_gradients_take_twice_the_forward_pass_less_that_of_the_images(
    name: str, make: Callable[[], nn.Module], shape: tuple[int, ...], flops: int, parameters: int
) -> None:
    found = count(make, shape, backward=True)
    assert found.backward_flops == 2 * flops - FIRST.get(name, 0)
    assert found == flops + found.backward_flops


def test_each_depthwise_convolution_costs_as_much_per_gradient_as_forward() -> None:
    forward, both = (count(mobilenet_v2, (1, 3, 224, 224), backward=b) for b in (False, True))
    before = {row.path: row.flops for row in forward.by_module}
    with tt.meta():
        layers = dict(mobilenet_v2().named_modules())
    depthwise = [p for p, m in layers.items() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(depthwise) == 17
    after = {row.path: row.flops for row in both.by_module}
    assert all(after[path] == 3 * before[path] > 0 for path in depthwise)


def test_attention_is_counted_in_eval_mode_forward_and_back() -> None:
    tokens, width, layers = 128, 768, 12
    products = layers * 4 * tokens * tokens * width
    forward, both = (count(BERT, (1, tokens), backward=b) for b in (False, True))
    assert forward.parts["attention"] == products
    assert both.parts["attentiongrad"] == 2 * products


def test_causal_counts_the_pairs_that_may_attend() -> None:
    with tt.meta():
        model = gpt2_small()
    full, causal = (FLOPCounter(causal=c).count(model) for c in (False, True))
    t = 1024
    per_pair = 12 * 4 * 768
    assert full.parts["attention"] == per_pair * t * t
    assert causal.parts["attention"] == per_pair * t * (t + 1) // 2
    assert full - causal == full.parts["attention"] - causal.parts["attention"]


@pytest.mark.skipif(not STATUS.exists(), reason="the peak of a fresh process is read from /proc")
def test_gpt2_small_is_built_and_counted_in_little_memory() -> None:
    program = (
        "import tinytorch as tt\n"
        "from tinytorch.models import GPT\n"
        "from tinytorch.profiling.counting.flops import FLOPCounter\n"
        "with tt.meta():\n"
        "    model = GPT(vocab_size=50257, context=1024, width=768, layers=12, heads=12)\n"
        "flops = FLOPCounter().count(model)\n"
        f"peak = next(line for line in open({str(STATUS)!r}) if line.startswith('VmHWM'))\n"
        "print(int(flops), peak.split()[1])\n"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    flops, peak = map(int, out.split())
    assert flops == 291_648_307_200
    assert 2**20 < 1024 * peak < BUDGET


@pytest.mark.parametrize(("make", "shape"), [(lenet5, (2, 1, 32, 32)), (resnet50, (1, 3, 64, 64))])
def test_the_models_compute_and_cost_for_real_what_they_cost_without_data(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    model = make().eval()
    x = tt.zeros(*shape)
    assert model(x).shape[0] == shape[0]
    assert FLOPCounter("all").count(model, inputs=x) == count(make, shape, "all")


def test_alexnet_by_layer() -> None:
    """By hand: results * window * 2 of each layer."""
    layers = [64 * 55 * 55 * 3 * 121, 192 * 27 * 27 * 64 * 25, 384 * 13 * 13 * 192 * 9]
    layers += [256 * 13 * 13 * 384 * 9, 256 * 13 * 13 * 256 * 9]
    layers += [9216 * 4096, 4096 * 4096, 4096 * 1000]
    found = count(alexnet, (1, 3, 224, 224))
    assert [row.flops for row in found.by_module if row.kind in ("Conv2d", "Linear")] == [
        2 * n for n in layers
    ]

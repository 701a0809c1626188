"""Layers on codes against float64: codes made here, from the weights and inputs, and what they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.reference_codes import nibbles
from tests.quantization.simulation import (
    Array,
    close,
    correlated,
    gpt,
    ids,
    images_in_codes,
    normal,
    range_in_codes,
    rows_in_codes,
    run,
    seen_by,
    weight_in_codes,
)
from tinytorch import Tensor, no_grad
from tinytorch.errors import QuantizationError, ShapeError
from tinytorch.models.gpt import generate
from tinytorch.nn import Conv2d, Embedding, LayerNorm, Linear, Module, Sequential
from tinytorch.quantization import SCHEMES, Scheme, quantize
from tinytorch.quantization.calibrate import Seen
from tinytorch.quantization.convert import Converter
from tinytorch.random import Generator

SKEWED = {"scale": 1.5, "mean": 2.0}


def on_codes(layer: Module, scheme: str | Scheme, *batches: Tensor, **options: Any) -> Any:
    chosen = SCHEMES[scheme] if isinstance(scheme, str) else scheme
    seen = seen_by(Sequential(layer), *batches, gram=options.get("rounding") == "gptq")
    return Converter(**options).convert(layer, seen, chosen)


def middle(x: Array, percent: float = 99.99) -> tuple[float, float]:
    """The range that holds the middle of some values, as the percentile finds it."""
    rest = (100 - percent) / 2
    low, high = np.percentile(x, [rest, 100 - rest])
    return float(low), float(high)


def inputs_in_codes(x: Array, kind: str, seen: Array) -> Array:
    """What is left of inputs as a scheme makes codes of them, ranges being those of what was seen."""
    if kind == "dynamic":
        return images_in_codes(x) if x.ndim == 4 else rows_in_codes(x)
    low, high = middle(seen)
    if kind == "static":
        scale = np.float32(max(-low, high)) / np.float32(127)
        return range_in_codes(x, scale, 0, 0 if seen.min() >= 0 else -127, 127)
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    return range_in_codes(x, scale, round(-128 - low / scale), -128, 127)


# ---------------------------------------------------------------- linear


LINEAR = [
    ("int8", "dynamic", "channel"),
    ("int8-dynamic", "dynamic", "channel"),
    ("int8-static", "static", "channel"),
    ("int8-tensor", "dynamic", "tensor"),
    ("uint8-static", "static-uint8", "channel"),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("scheme", "kind", "per"), LINEAR)
@pytest.mark.parametrize("mean", [0.0, 2.0, -20.0])
def test_linear_on_codes(scheme: str, kind: str, per: str, bias: bool, mean: float) -> None:
    layer = Linear(20, 7, bias=bias, generator=Generator(4))
    seen, x = normal(0, 300, 20, scale=1.5, mean=mean), normal(1, 9, 20, scale=2.0, mean=mean)
    made = on_codes(layer, scheme, seen)
    expected = inputs_in_codes(x.data, kind, seen.data) @ weight_in_codes(layer.weight.data, per).T
    close(run(made, x), expected + (layer.bias.data if bias else 0.0))


def test_results_lie_within_what_rounding_may_do() -> None:
    layer, x = Linear(64, 10, generator=Generator(4)), normal(1, 50, 64)
    w, exact = layer.weight.data.astype(np.float64), run(layer, x)
    found = run(on_codes(layer, "int8-dynamic", x), x)
    row = np.abs(x.data).max(1, keepdims=True) / 254
    channel = np.abs(w).max(1) / 254
    bound = np.abs(x.data).sum(1, keepdims=True) * channel + row * np.abs(w).sum(1) + 64 * row * channel
    assert (np.abs(found - exact) <= bound + 1e-5).all()
    assert np.abs(found - exact).max() > 1e-4


def test_inputs_that_were_never_below_zero_have_no_codes_there() -> None:
    layer = Linear(8, 3)
    positive = Tensor(np.abs(normal(0, 200, 8).data))
    made = on_codes(layer, "int8-static", positive)
    assert (made.inputs.low, made.inputs.high, made.inputs.zero) == (0, 127, None)
    np.testing.assert_array_equal(run(made, Tensor(-np.ones((1, 8), np.float32)))[0], layer.bias.data)


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse", "entropy"])
def test_a_scheme_of_ones_own_says_how_ranges_are_found(ranges: str) -> None:
    seen = Tensor(np.append(np.linspace(-1, 1, 40_000), [90.0] * 8).astype(np.float32).reshape(-1, 8))
    scheme = Scheme("own", activations="static", ranges=ranges)
    made = on_codes(Linear(8, 3), scheme, seen)
    whole = 90 / 127
    if ranges == "minmax":
        assert made.inputs.scale.item() == pytest.approx(whole)
    elif ranges == "percentile":
        expected = max(np.abs(middle(seen_by(Linear(8, 3), seen).values)))
        assert made.inputs.scale.item() == pytest.approx(expected / 127, rel=1e-5)
    else:
        assert made.inputs.scale.item() <= whole * 1.0001


@pytest.mark.parametrize(("scheme", "group"), [("int4-g32", 32), ("int4-g128", 64)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_on_four_bits(scheme: str, group: int, bias: bool) -> None:
    layer, x = Linear(64, 7, bias=bias, generator=Generator(4)), normal(1, 9, 64)
    made = on_codes(layer, scheme, x)
    assert made.codes.shape == (7, 32)
    assert made.scale.shape == (7, 64 // group)
    assert str(made.scale.dtype) == "float16"
    w = layer.weight.data.reshape(7, -1, group)
    step = made.scale.data.astype(np.float64)[:, :, None]
    codes = nibbles(made.codes.data).reshape(w.shape)
    np.testing.assert_array_equal(codes, np.clip(np.rint(w / step), -7, 7))
    expected = rows_in_codes(x.data) @ (codes * step).reshape(7, 64).T
    close(run(made, x), expected + (layer.bias.data if bias else 0.0))


@pytest.mark.parametrize("scheme", ["int8", "int4-g32", "int8-static", "uint8-static", "float16"])
def test_one_axis_three_axes_and_none_of_a_batch(scheme: str) -> None:
    layer, x = Linear(32, 5), normal(1, 6, 32)
    made = on_codes(layer, scheme, x)
    whole = run(made, x)
    close(run(made, x.reshape(2, 3, 32)), whole.reshape(2, 3, 5), 1e-6)
    close(run(made, x[3]), whole[3], 1e-6)
    assert run(made, x[:0]).shape == (0, 5)
    assert run(made, x[:0].reshape(0, 4, 32)).shape == (0, 4, 5)


def test_rounding_in_turn_loses_less_on_what_was_seen() -> None:
    layer, base = Linear(64, 16, generator=Generator(4)), normal(0, 300, 4)
    x = Tensor((base.data @ normal(2, 4, 64).data + 0.1 * normal(3, 300, 64).data).astype(np.float32))
    exact = run(layer, x)
    for scheme in ("int8-static", "int4-g32"):
        lost = [
            np.square(run(on_codes(layer, scheme, x, rounding=rounding), x) - exact).mean()
            for rounding in ("gptq", "nearest")
        ]
        assert lost[0] < (0.5 if scheme == "int4-g32" else 1.0) * lost[1]


# ---------------------------------------------------------------- convolutions


GEOMETRY = [
    {"padding": 1},
    {"stride": 2, "padding": (0, 2)},
    {"dilation": 2, "padding": 2, "bias": False},
    {"groups": 2, "stride": (1, 2), "padding": 1},
]
CONVOLUTION = [
    ("int8", "static", "channel"),
    ("int8-dynamic", "dynamic", "channel"),
    ("int8-tensor", "static", "tensor"),
    ("uint8-static", "static-uint8", "channel"),
    ("int4-g32", "static", "channel"),
]


@pytest.mark.parametrize("geometry", GEOMETRY)
@pytest.mark.parametrize(("scheme", "kind", "per"), CONVOLUTION)
def test_convolutions_on_codes(geometry: dict[str, Any], scheme: str, kind: str, per: str) -> None:
    layer = Conv2d(4, 6, 3, generator=Generator(5), **geometry)
    seen, x = normal(0, 6, 4, 7, 8, **SKEWED), normal(1, 2, 4, 7, 8, **SKEWED)
    made = on_codes(layer, scheme, seen)
    given = inputs_in_codes(x.data, kind, seen.data)
    shape = (layer.stride, layer.padding, layer.dilation, layer.groups)
    expected = correlated(given, weight_in_codes(layer.weight.data, per), shape)
    if layer.bias is not None:
        expected += layer.bias.data.reshape(-1, 1, 1)
    close(run(made, x), expected)


@pytest.mark.parametrize("mean", [-30.0, -1.0, 0.0, 1.0, 30.0])
def test_padding_is_zero_whatever_the_zero_point_is(mean: float) -> None:
    layer = Conv2d(1, 1, 3, padding=1, bias=False)
    with no_grad():
        layer.weight.assign_(np.ones((1, 1, 3, 3), np.float32))
    seen = normal(0, 8, 1, 5, 5, mean=mean)
    made = on_codes(layer, "uint8-static", seen)
    zero = made.inputs.zero.item()
    assert (zero < -100) == (mean > 10)
    assert (zero > 100) == (mean < -10)
    x = seen[:1]
    corner = range_in_codes(x.data, made.inputs.scale.item(), zero, -128, 127)[0, 0, :2, :2].sum()
    assert run(made, x)[0, 0, 0, 0] == pytest.approx(corner, rel=1e-5, abs=1e-4)
    empty = run(made, Tensor(np.zeros((1, 1, 5, 5), np.float32)))
    np.testing.assert_array_equal(empty, 0.0)


def test_convolutions_of_an_empty_batch() -> None:
    layer, x = Conv2d(2, 3, 3), normal(0, 4, 2, 5, 5)
    for scheme in ("int8", "uint8-static", "float16"):
        assert run(on_codes(layer, scheme, x), x[:0]).shape == (0, 3, 3, 3)


# ---------------------------------------------------------------- embeddings


@pytest.mark.parametrize("scheme", ["int8", "int8-tensor", "uint8-static", "int4-g32", "mixed"])
def test_embeddings_have_a_scale_for_each_row(scheme: str) -> None:
    layer, x = Embedding(9, 16, generator=Generator(6)), normal(3, 5, 16)
    with no_grad():
        layer.weight.assign_(layer.weight.data * np.logspace(-3, 3, 9, dtype=np.float32)[:, None])
    made = Converter().convert(layer, Seen(), SCHEMES[scheme])
    which = ids(0, 3, 4, below=9)
    rows = weight_in_codes(layer.weight.data)
    close(run(made, which), rows[which.data], 1e-6)
    with no_grad():
        close(made.logits(x).data, rows_in_codes(x.data) @ rows.T)
    assert run(made, which[:0]).shape == (0, 4, 16)
    for wrong in (9, -1):
        with pytest.raises(ShapeError, match=f"id {wrong} is out of range for 9 rows"):
            run(made, Tensor([wrong]))


# ---------------------------------------------------------------- float16


def test_layers_in_float16_store_half_and_compute_in_float32() -> None:
    linear, conv = Linear(20, 7), Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False)
    table = Embedding(9, 16)
    with no_grad():
        linear.weight.assign_(np.where(np.arange(20) == 3, np.float32(1e6), linear.weight.data))

    def half(w: Array) -> Array:
        return np.clip(w, -65504, 65504).astype(np.float16).astype(np.float64)

    x, image, which = normal(0, 5, 20), normal(1, 2, 4, 7, 7), ids(0, 4, below=9)
    made = on_codes(linear, "float16", x)
    assert made.state_dict()["half"].data.nbytes == 2 * 140
    close(run(made, x), x.data.astype(np.float64) @ half(linear.weight.data).T + linear.bias.data)
    made = on_codes(conv, "float16", image)
    shape = (conv.stride, conv.padding, conv.dilation, conv.groups)
    close(run(made, image), correlated(image.data, half(conv.weight.data), shape))
    made = on_codes(table, "float16", which)
    rows = half(table.weight.data)
    np.testing.assert_array_equal(run(made, which), rows[which.data])
    assert run(made, which).dtype == np.float32
    with no_grad():
        close(made.logits(normal(2, 3, 16)).data, normal(2, 3, 16).data.astype(np.float64) @ rows.T)
        np.testing.assert_array_equal(made.weight.data, rows)


# ---------------------------------------------------------------- weights, shared and asked for


def test_a_weight_that_is_asked_for_is_what_its_codes_stand_for() -> None:
    linear, conv, table = Linear(16, 5), Conv2d(2, 3, 3), Embedding(7, 8)
    x, image, which = normal(0, 9, 16), normal(0, 2, 2, 4, 4), ids(0, 3, below=7)
    for scheme, per in (("int8", "channel"), ("int8-tensor", "tensor")):
        for layer, given in ((linear, x), (conv, image)):
            weight = on_codes(layer, scheme, given).weight.data
            assert weight.dtype == np.float32
            close(weight, weight_in_codes(layer.weight.data, per), 1e-6)
    close(on_codes(table, "int8", which).weight.data, weight_in_codes(table.weight.data), 1e-6)
    made = on_codes(linear, "int4-g32", x)
    close(made.weight.data, nibbles(made.codes.data) * made.scale.data.astype(np.float64), 1e-6)


@pytest.mark.parametrize(
    ("scheme", "rounding"),
    [("int8", "nearest"), ("int8-tensor", "nearest"), ("int8-static", "gptq"), ("int4-g32", "gptq")],
)
def test_tied_weights_share_their_codes(scheme: str, rounding: Any) -> None:
    model = gpt()
    x = ids(1, 2, 8)
    q = quantize(model, [x], scheme, prefer="size", rounding=rounding, max_loss=1.0)
    assert type(q.head).__name__ == "QuantizedLinear"
    assert q.head.codes is q.wte.codes
    assert q.head.scale is q.wte.scale
    close(q.wte.weight.data, weight_in_codes(model.wte.weight.data), 1e-6)
    names = set(q.state_dict())
    assert {"wte.codes", "wte.scale", "head.codes", "head.scale", "wpe.codes"} <= names
    assert "head.codes" not in dict(q.named_buffers())
    assert len(generate(q, [1, 2], 12, generator=Generator(0))) == 14


def test_tied_weights_share_their_halves() -> None:
    q = quantize(gpt(), [ids(1, 2, 8)], "float16", prefer="size")
    assert q.head.half is q.wte.half


# ---------------------------------------------------------------- bias correction


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("scheme", ["int8-tensor", "int4-g32", "uint8-static"])
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_bias_correction_takes_off_the_mean_error(kind: str, scheme: str, bias: bool) -> None:
    if kind == "linear":
        layer: Any = Linear(32, 6, bias=bias, generator=Generator(7))
        x, axes = normal(0, 60, 32, **SKEWED), (0,)
    else:
        layer = Conv2d(3, 6, 3, padding=1, bias=bias, generator=Generator(7))
        x, axes = normal(0, 8, 3, 6, 6, **SKEWED), (0, 2, 3)
    wanted = run(layer, x).astype(np.float64)
    off = [
        np.abs((wanted - run(on_codes(layer, scheme, x, correct=correct), x)).mean(axes)).max()
        for correct in (False, True)
    ]
    assert off[0] > 2e-4
    assert off[1] < 2e-6
    assert (on_codes(layer, scheme, x).bias is None) is not bias


def test_the_bias_of_the_layer_itself_stays() -> None:
    layer, x = Linear(32, 6), normal(0, 60, 32)
    before = layer.bias.data.copy()
    made = on_codes(layer, "int8", x, correct=True)
    assert not np.shares_memory(made.bias.data, layer.bias.data)
    np.testing.assert_array_equal(layer.bias.data, before)


# ---------------------------------------------------------------- what cannot be


def test_what_cannot_become_codes() -> None:
    x = normal(0, 4, 12)
    with pytest.raises(QuantizationError, match="rows of 12 cannot be cut"):
        on_codes(Linear(12, 3), "int4-g32", x)
    with pytest.raises(QuantizationError, match="LayerNorm cannot be quantized"):
        Converter().convert(LayerNorm(4), Seen(), SCHEMES["int8"])
    for wrong in (np.nan, np.inf):
        layer = Linear(12, 3)
        with no_grad():
            layer.weight.assign_(np.full((3, 12), wrong, np.float32))
        with pytest.raises(QuantizationError, match="a weight holds NaN or infinity"):
            on_codes(layer, "int8", x)
    with pytest.raises(QuantizationError, match="ranges 'best'; there are: minmax, percentile, mse, entropy"):
        Scheme("own", ranges="best")

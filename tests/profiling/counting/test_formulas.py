"""Closed formulas: by hand, against the ops that really run, and refused where sizes make no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch import nn
from tinytorch.errors import DTypeError, ProfilingError, ShapeError
from tinytorch.nn import functional
from tinytorch.profiling.counting.flops import FLOPCounter, FLOPs
from tinytorch.profiling.counting.formulas import Count, Formulas

quick = settings(max_examples=40, deadline=None)
some = st.integers(1, 5)

# ---------------------------------------------------------------- published and hand-computed


def test_attention_is_four_projections_and_the_part_that_grows_with_the_square() -> None:
    counter = FLOPCounter()
    short, long = (counter.count_attention(seq_len=n, d_model=512) for n in (128, 256))
    assert short == 301_989_888 == short.flops == 2 * short.macs
    assert short.parts == {"projections": 268_435_456, "scores and weighted sum": 33_554_432}
    assert long / short == pytest.approx(2.22, abs=0.005)
    assert long.parts["projections"] == 2 * short.parts["projections"]
    assert long.parts["scores and weighted sum"] == 4 * short.parts["scores and weighted sum"]
    assert counter.count_attention(128, 512, num_heads=8) == short
    assert counter.count_attention(128, 512, batch_size=3) == 3 * short
    assert counter.count_attention(128, 512, projections=False) == 33_554_432


@given(*(st.integers(0, 6),) * 2)
@quick
def test_causal_attention_counts_exactly_the_pairs_of_a_mask(t: int, s: int) -> None:
    mask = np.tril(np.ones((t, s), bool), s - t)
    found = Formulas().count_attention(t, 8, 2, causal=True, kv_len=s, projections=False)
    assert found == 4 * 8 * mask.sum()
    assert FLOPCounter(causal=True).count_attention(t, 8, 2, kv_len=s, projections=False) == found
    everything = Formulas("all").count_attention(t, 8, 2, causal=True, kv_len=s, projections=False)
    assert everything.parts["softmax"] == 9 * 2 * mask.sum()


def test_one_query_with_a_cache_is_linear_in_its_length() -> None:
    step = Formulas().count_attention(1, 64, 4, causal=True, kv_len=100)
    assert step.parts == {"projections": 8 * 64 * 64, "scores and weighted sum": 4 * 64 * 100}


def test_layers_by_hand() -> None:
    every, products = Formulas("all"), Formulas()
    assert products.count_linear(784, 128, batch_size=32) == 2 * 32 * 784 * 128
    assert every.count_linear(784, 128).parts == {"products": 200_704, "bias": 128}
    assert every.count_linear(784, 128, bias=False) == 200_704
    assert products.count_matmul((8, 1, 3, 4), (5, 4, 2)) == 2 * 8 * 5 * 3 * 4 * 2
    # the first layers of ResNet-50 and, depthwise, of a MobileNet
    assert products.count_conv2d(3, 64, 7, 224, stride=2, padding=3) == 2 * 64 * 112 * 112 * 147
    assert products.count_conv2d(32, 32, 3, 112, padding=1, groups=32) == 2 * 32 * 112 * 112 * 9
    assert products.count_conv2d(3, 8, (3, 1), (9, 7), dilation=(2, 1)) == 2 * 8 * 5 * 7 * 9
    assert every.count_layer_norm((128, 512)) == 8 * 128 * 512
    assert every.count_batch_norm((2, 3, 4, 4), training=True) == 8 * 96
    assert every.count_softmax((8, 10)) == every.count_softmax(80) == 640
    assert every.count_gelu(10) == 100
    assert every.count_gelu(10, "tanh") == 140
    assert every.count_pool2d((1, 16, 28, 28), 2) == 16 * 14 * 14 * 4
    assert every.count_pool2d((1, 2, 7, 7), 3, 2, 1, kind="avg") == 2 * 4 * 4 * 9
    for kind, cost in {"relu": 1, "tanh": 6, "sigmoid": 6, "silu": 7, "gelu": 10, "gelu_tanh": 14}.items():
        assert every.count_activation(kind, (3, 4)) == 12 * cost
    for nothing in (
        products.count_layer_norm((2, 3)),
        products.count_softmax(8),
        products.count_pool2d((1, 1, 4, 4), 2),
        every.count_embedding(128, 512),
    ):
        assert (int(nothing), nothing.macs) == (0, 0)
        assert nothing.bytes > 0


def test_bytes_by_hand() -> None:
    assert Formulas().count_linear(4, 3, 2).bytes == 4 * (2 * 4 + 4 * 3 + 3 + 2 * 3)
    assert Formulas(dtype="float64").count_linear(4, 3, 2).bytes == 8 * (2 * 4 + 4 * 3 + 3 + 2 * 3)
    assert Formulas(dtype="float16").count_softmax(10).bytes == 2 * 2 * 10
    assert Formulas().count_embedding(7, 10).bytes == 8 * 7 + 2 * 4 * 70
    # a projection reads x and its weight and bias, and writes; attention reads q, k and v, writes p and out
    parts = 4 * (2 * 6 * 8 + 8 * 8 + 8) + 4 * 6 * 8 + 2 * 6 * 6
    assert Formulas().count_attention(6, 8, num_heads=2).bytes == 4 * parts
    assert Formulas().count_linear(4, 3).intensity == 24 / (4 * (4 + 12 + 3 + 3))
    assert Formulas().count_linear(0, 0).intensity is None


# ---------------------------------------------------------------- against the ops that run


def counted(convention: str, call: Callable[..., Any], *shapes: Any) -> FLOPs:
    with tt.meta():
        inputs = [s if isinstance(s, tt.Tensor) else tt.zeros(s) for s in shapes]
    return FLOPCounter(convention).count(call, inputs=inputs)


def same(formula: Callable[[Formulas], Count], call: Callable[..., Any], *shapes: Any) -> None:
    """A formula and the ops agree on FLOPs in both conventions, on multiply-adds and on bytes."""
    for convention in ("matmul", "all"):
        expected, found = formula(Formulas(convention)), counted(convention, call, *shapes)
        assert found.coverage == 1
        assert (int(found), found.macs, found.bytes) == (int(expected), expected.macs, expected.bytes)
        assert sum(expected.parts.values()) == expected


@given(some, some, some, st.booleans())
@quick
def test_linear_is_what_runs(rows: int, inputs: int, outputs: int, bias: bool) -> None:
    same(
        lambda f: f.count_linear(inputs, outputs, rows, bias),
        nn.Linear(inputs, outputs, bias),
        (rows, inputs),
    )


@given(some, some, some, st.integers(1, 3))
@quick
def test_matmul_is_what_runs(n: int, k: int, m: int, batch: int) -> None:
    a, b = (batch, 1, n, k), (2, k, m)
    same(lambda f: f.count_matmul(a, b), lambda x, y: x @ y, a, b)


two = st.tuples(st.integers(1, 2), st.integers(1, 2))


@given(some, st.integers(1, 3), st.tuples(some, some), two, two, two, st.booleans())
@quick
def test_conv2d_is_what_runs(
    batch: int,
    groups: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    bias: bool,
) -> None:
    size = size[0] + 2, size[1] + 2
    args = {"stride": stride, "padding": (1, 0), "dilation": dilation, "groups": groups, "bias": bias}
    same(
        lambda f: f.count_conv2d(2 * groups, 4 * groups, kernel, size, batch, **args),
        nn.Conv2d(2 * groups, 4 * groups, kernel, **args),
        (batch, 2 * groups, *size),
    )


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_what_runs(causal: bool) -> None:
    layer = nn.MultiHeadAttention(8, 2)
    same(lambda f: f.count_attention(5, 8, 2, batch_size=3), lambda x: layer(x, causal=causal), (3, 5, 8))
    with tt.meta():
        x = tt.zeros(3, 5, 8)
    for convention in ("matmul", "all"):
        found = FLOPCounter(convention, causal=True).count(layer, inputs={"x": x, "causal": causal})
        assert found == Formulas(convention).count_attention(5, 8, 2, 3, causal=causal)


def test_attention_with_a_cache_is_what_runs() -> None:
    same(
        lambda f: f.count_attention(2, 8, 2, kv_len=7, projections=False),
        functional.attention,
        *((1, 2, 2, 4), (1, 2, 7, 4), (1, 2, 7, 4)),
    )


def test_the_other_layers_are_what_runs() -> None:
    ids = tt.Tensor([[1, 2, 3]])
    same(lambda f: f.count_embedding(3, 4), nn.Embedding(10, 4), ids)
    same(lambda f: f.count_layer_norm((2, 3, 4)), nn.LayerNorm(4), (2, 3, 4))
    same(lambda f: f.count_layer_norm((2, 3, 4), 2), nn.LayerNorm((3, 4)), (2, 3, 4))
    same(lambda f: f.count_softmax((2, 3)), nn.Softmax(), (2, 3))
    same(lambda f: f.count_pool2d((1, 2, 7, 7), 3, 2, 1), nn.MaxPool2d(3, 2, 1), (1, 2, 7, 7))
    same(lambda f: f.count_pool2d((1, 1, 24, 24), 12), nn.MaxPool2d(12), (1, 1, 24, 24))
    same(lambda f: f.count_pool2d((1, 2, 7, 7), 3, kind="avg"), nn.AvgPool2d(3), (1, 2, 7, 7))
    for kind, layer in {"relu": nn.ReLU(), "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid()}.items():
        same(lambda f, kind=kind: f.count_activation(kind, (3, 4)), layer, (3, 4))
    same(lambda f: f.count_gelu((3, 4), "tanh"), nn.GELU("tanh"), (3, 4))


def test_a_formula_moves_less_than_ops_that_are_not_fused() -> None:
    """SiLU, exact GELU and batch norm by running statistics are several ops: as many FLOPs, more bytes."""
    every = Formulas("all")
    for expected, layer, shape in (
        (every.count_activation("silu", (3, 4)), nn.SiLU(), (3, 4)),
        (every.count_gelu((3, 4)), nn.GELU(), (3, 4)),
        (every.count_batch_norm((2, 3, 4, 4)), nn.BatchNorm2d(3).eval(), (2, 3, 4, 4)),
    ):
        found = counted("all", layer, shape)
        assert found == expected
        assert found.bytes > expected.bytes
    with tt.no_grad():
        trained = counted("all", nn.BatchNorm2d(3), (2, 3, 4, 4))
    norm = next(row for row in trained.by_op if row.name == "batchnorm")
    expected = every.count_batch_norm((2, 3, 4, 4), training=True)
    assert (norm.flops, norm.bytes) == (expected, expected.bytes)  # the running statistics are ops beside it


# ---------------------------------------------------------------- what a Count is


def test_a_count_is_the_int_it_is() -> None:
    found = Formulas().count_linear(4, 3)
    assert isinstance(found, int)
    assert found + found == 48
    assert found > 23
    assert f"{found:,}" == repr(found) == "24"


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda f: f.count_linear(-1, 3), ProfilingError, "in_features is -1; expected a whole number"),
        (lambda f: f.count_linear(2.5, 3), ProfilingError, "in_features is 2.5"),
        (lambda f: f.count_linear(True, 3), ProfilingError, "in_features is True"),
        (lambda f: f.count_linear("4", 3), ProfilingError, "in_features is '4'"),
        (lambda f: f.count_matmul((2, 3), (4, 5)), ShapeError, r"\(2, 3\) @ \(4, 5\)"),
        (lambda f: f.count_matmul((3,), (3, 5)), ShapeError, r"\(3,\) @ \(3, 5\)"),
        (lambda f: f.count_matmul((2, 2, 3), (3, 3, 5)), ShapeError, "do not broadcast"),
        (lambda f: f.count_matmul((2, -3), (3, 5)), ProfilingError, "is -3"),
        (lambda f: f.count_conv2d(3, 4, 3, 8, groups=2), ShapeError, "2 groups do not divide 3 and 4"),
        (lambda f: f.count_conv2d(3, 4, 3, 8, groups=0), ShapeError, "0 groups"),
        (lambda f: f.count_conv2d(3, 4, 9, 8), ShapeError, "count_conv2d"),
        (lambda f: f.count_conv2d(3, 4, 3, 8, stride=0), ShapeError, "stride"),
        (lambda f: f.count_conv2d(3, 4, (3, 3, 3), 8), ShapeError, "kernel_size"),
        (lambda f: f.count_attention(4, 6, num_heads=4), ShapeError, "4 heads do not divide d_model 6"),
        (lambda f: f.count_attention(4, 6, num_heads=0), ShapeError, "0 heads"),
        (lambda f: f.count_attention(-4, 6), ProfilingError, "seq_len is -4"),
        (lambda f: f.count_attention(4, 6, kv_len=1.5), ProfilingError, "kv_len is 1.5"),
        (lambda f: f.count_embedding(4, None), ProfilingError, "embedding_dim is None"),
        (lambda f: f.count_layer_norm((2, 3), 3), ShapeError, "has no 3 axes"),
        (lambda f: f.count_layer_norm((2, 3), 0), ShapeError, "has no 0 axes"),
        (lambda f: f.count_layer_norm("23"), ProfilingError, "'23' is not a shape"),
        (lambda f: f.count_batch_norm((3,)), ShapeError, r"\(3,\) is not \(batch, channels"),
        (lambda f: f.count_softmax(2.0), ProfilingError, "2.0 is not a shape"),
        (lambda f: f.count_softmax((2, 1.5)), ProfilingError, r"a size of \(2, 1.5\) is 1.5"),
        (lambda f: f.count_activation("swish", 3), ProfilingError, "there are: relu, tanh"),
        (lambda f: f.count_gelu(3, "quick"), ProfilingError, "gelu_quick"),
        (lambda f: f.count_pool2d((1, 4, 4), 2), ShapeError, r"\(1, 4, 4\) is not \(batch"),
        (lambda f: f.count_pool2d((1, 1, 4, 4), 2, kind="mean"), ProfilingError, "kind is 'max' or 'avg'"),
        (lambda f: f.count_pool2d((1, 1, 4, 4), 5), ShapeError, "count_pool2d"),
    ],
)
def test_sizes_that_make_no_sense(
    call: Callable[[Formulas], object], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        call(Formulas())


def test_a_convention_or_dtype_that_does_not_exist() -> None:
    for kind in (Formulas, FLOPCounter):
        with pytest.raises(ProfilingError, match="'macs' does not exist: it is 'matmul'.*'all'"):
            kind("macs")
        with pytest.raises(DTypeError, match="bfloat17"):
            kind(dtype="bfloat17")

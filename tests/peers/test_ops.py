"""Every op and public function beside PyTorch: values, gradients, second derivatives, in both precisions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # its usual name

import tinytorch.ops.compare
from tests.peers.helper import LIMIT, compare, numbers, relative_error
from tinytorch.ops import (
    activation,
    arithmetic,
    elementwise,
    index,
    matmul,
    norm,
    reduce,
    shape,
    softmax,
)
from tinytorch.ops.attention import attention
from tinytorch.ops.batchnorm import batch_norm
from tinytorch.ops.conv import conv2d
from tinytorch.ops.pool import avg_pool2d, max_pool2d
from tinytorch.tensor import Tensor

DTYPES = ["float32", "float64"]
Function = Callable[..., Any]


@dataclass
class Row:
    """A function of ours, PyTorch's, and the inputs: shapes (random numbers from low to high) or arrays."""

    name: str
    ours: Function
    theirs: Function
    inputs: tuple[Any, ...]
    low: float = -2.0
    high: float = 2.0

    def arrays(self, dtype: str) -> list[Any]:
        return [
            numbers(given, dtype, 11 + i, self.low, self.high) if isinstance(given, tuple) else given
            for i, given in enumerate(self.inputs)
        ]


PAIRS = [((3, 4), (3, 4)), ((3, 1, 5), (4, 1)), ((2, 3), ()), ((0, 4), (4,)), ((), ()), ((1, 1), (7,))]
SINGLES = [(3, 4), (0, 4), (), (1,), (2, 3, 5)]
ROWS: list[Row] = []


def rows(name: str, ours: Function, theirs: Function, *inputs: tuple[Any, ...], **limits: float) -> None:
    """A row for each tuple of inputs."""
    ROWS.extend(Row(f"{name}-{i}", ours, theirs, given, **limits) for i, given in enumerate(inputs))


# ---------------------------------------------------------------- element by element

for symbol in (operator.add, operator.sub, operator.mul):
    rows(symbol.__name__, symbol, symbol, *PAIRS)
rows("div", operator.truediv, operator.truediv, *PAIRS, low=0.5)
rows("pow", operator.pow, operator.pow, *PAIRS, low=0.5)
for power in (2, 3, 0.5, -1, -0.5, 1, 0):
    rows(f"pow {power}", lambda x, p=power: x**p, lambda x, p=power: x**p, ((3, 4),), ((),), low=0.2)
rows("2 to the power", lambda x: 2.0**x, lambda x: 2.0**x, ((3, 4),))
for number in (3, 0.7):
    for symbol in (operator.add, operator.sub, operator.mul, operator.truediv):
        rows(
            f"{symbol.__name__} {number}",
            lambda x, f=symbol, n=number: f(x, n),
            lambda x, f=symbol, n=number: f(x, n),
            ((3, 4),),
        )
        rows(
            f"{number} {symbol.__name__}",
            lambda x, f=symbol, n=number: f(n, x),
            lambda x, f=symbol, n=number: f(n, x),
            ((3, 4),),
            low=0.5,
        )
for name in ("maximum", "minimum"):
    rows(name, getattr(arithmetic, name), getattr(torch, name), *PAIRS)
    rows(
        f"{name} of equals",
        getattr(arithmetic, name),
        getattr(torch, name),
        (np.ones((2, 2)), np.ones((2, 2))),
    )
for name in ("neg", "abs", "sign"):
    rows(name, getattr(arithmetic, name), getattr(torch, name), *((s,) for s in SINGLES))
for name in ("exp", "tanh", "sigmoid", "erf", "relu", "sin", "cos"):
    rows(name, getattr(elementwise, name), getattr(torch, name), *((s,) for s in SINGLES))
for name in ("log", "sqrt"):
    rows(name, getattr(elementwise, name), getattr(torch, name), *((s,) for s in SINGLES), low=0.2)
rows("clip", lambda x: x.clip(-1.0, 0.5), lambda x: x.clip(-1.0, 0.5), *((s,) for s in SINGLES))
rows("clip low", lambda x: x.clip(low=0.1), lambda x: x.clip(min=0.1), ((3, 4),))
rows("far out", elementwise.sigmoid, torch.sigmoid, (np.array([-1000.0, -30.0, 30.0, 1000.0]),))
for pair in (
    ("less", "lt"),
    ("less_equal", "le"),
    ("greater", "gt"),
    ("greater_equal", "ge"),
    ("equal", "eq"),
    ("not_equal", "ne"),
):
    rows(
        pair[0],
        getattr(tinytorch.ops.compare, pair[0]),
        getattr(torch, pair[1]),
        *PAIRS,
        (np.ones(3), np.ones(3)),
    )
MASK = np.random.default_rng(0).random((3, 4)) < 0.5
rows(
    "where",
    tinytorch.ops.compare.where,
    torch.where,
    (MASK, (3, 4), (4,)),
    (MASK, (3, 4), ()),
    (np.array(True), (), (2,)),
)
rows(
    "where 0",
    lambda c, a: tinytorch.ops.compare.where(c, a, 0.0),
    lambda c, a: torch.where(c, a, 0.0),
    (MASK, (3, 4)),
)
rows(
    "logic",
    lambda a, b: (a & b) | ~a,
    lambda a, b: (a & b) | ~a,
    (MASK, MASK[::-1].copy()),
    (np.arange(4), np.arange(4)[::-1].copy()),
)
rows("to float64", lambda x: x.to("float64"), lambda x: x.to(torch.float64), ((3, 4),))

# ---------------------------------------------------------------- reductions and products

AXES = [((3, 4), None), ((3, 4), 0), ((2, 3, 4), (0, 2)), ((2, 3, 4), -1), ((), None), ((2, 1, 5), (0, 1, 2))]
for name, theirs in {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin}.items():
    for number, (given, axis) in enumerate(AXES):
        for keep in (False, True):
            where_ = (
                {}
                if axis is None and name in ("sum", "mean") and not keep
                else {"dim": () if axis is None else axis}
            )
            if axis is None and keep:
                where_ = {"dim": tuple(range(len(given)))}
            rows(
                f"{name} {number} {keep}",
                lambda x, n=name, a=axis, k=keep: getattr(reduce, n)(x, a, k),
                lambda x, f=theirs, w=where_, k=keep: f(x, **w, **({"keepdim": k} if w else {})),
                (given,),
            )
for correction in (0, 1):
    rows(
        f"var {correction}",
        lambda x, c=correction: x.var((0, 2), correction=c),
        lambda x, c=correction: x.var((0, 2), correction=c),
        ((2, 3, 4),),
    )
rows("var all", lambda x: x.var(), lambda x: x.var(), ((3, 5),))
rows("argmax", lambda x: x.argmax(1), lambda x: x.argmax(1), ((3, 7),))
rows("argmax all", lambda x: x.argmax(), lambda x: x.argmax(), ((3, 7),))
rows("sum of nothing", lambda x: x.sum(0), lambda x: x.sum(0), ((0, 3),))
TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
rows("max of ties", lambda x: x.max(1), lambda x: x.amax(1), (TIES,))

PRODUCTS = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 1, 3, 4), (3, 4, 2)),
    ((4,), (4,)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 3)),
    ((0, 4), (4, 5)),
    ((3, 0), (0, 5)),
    ((33, 65), (65, 17)),
]
rows("matmul", matmul.matmul, torch.matmul, *PRODUCTS)
rows(
    "linear", matmul.linear, F.linear, ((2, 3, 4), (5, 4), (5,)), ((4,), (5, 4), (5,)), ((0, 4), (5, 4), (5,))
)
rows("linear without bias", matmul.linear, F.linear, ((2, 3, 4), (5, 4)), ((4,), (5, 4)))

# ---------------------------------------------------------------- layout and indexing

rows("reshape", lambda x: x.reshape(4, -1), lambda x: x.reshape(4, -1), ((2, 6),))
rows(
    "permute",
    lambda x: x.permute(2, 0, 1) * x.permute(2, 0, 1),
    lambda x: x.permute(2, 0, 1) ** 2,
    ((2, 3, 4),),
)
rows("mT", lambda x: x.mT @ x, lambda x: x.mT @ x, ((2, 3, 4),))
rows("T", lambda x: x.T @ x, lambda x: x.T @ x, ((3, 4),))
rows("transpose", lambda x: x.transpose(0, -1), lambda x: x.transpose(0, -1), ((2, 3, 4),), ((2, 2),))
rows("expand", lambda x: x.expand(2, 3, -1) ** 2, lambda x: x.expand(2, 3, -1) ** 2, ((1, 4),))
rows("squeeze", lambda x: x.squeeze(1).unsqueeze(0), lambda x: x.squeeze(1).unsqueeze(0), ((3, 1, 2),))
rows("squeeze all", lambda x: x.squeeze(), lambda x: x.squeeze(), ((3, 1, 2, 1),))
rows("flatten", lambda x: x.flatten(1), lambda x: x.flatten(1), ((2, 3, 4),))
rows("flatten part", lambda x: x.flatten(0, 1), lambda x: x.flatten(0, 1), ((2, 3, 4),))
rows("concat", lambda *t: shape.concat(t, 1), lambda *t: torch.cat(t, 1), ((2, 3), (2, 0), (2, 1)))
rows("stack", lambda *t: shape.stack(t, -1), lambda *t: torch.stack(t, -1), ((2, 3), (2, 3)))
rows(
    "split",
    lambda x: shape.concat(x.split(2, 1)[::-1], 1),
    lambda x: torch.cat(x.split(2, 1)[::-1], 1),
    ((2, 5),),
)
rows("split sizes", lambda x: x.split([1, 3])[1], lambda x: x.split([1, 3])[1], ((4, 2),))
rows("pad", lambda x: x.pad(((1, 0), (2, 3)), 0.5), lambda x: F.pad(x, (2, 3, 1, 0), value=0.5), ((2, 3),))
KEYS: dict[str, Any] = {
    "int": 1,
    "slices": (slice(1, None), slice(None, None, 2)),
    "mixed": (..., None, 0),
    "list": [2, 0, 0],
    "two lists": ([0, 2], [1, 1]),
    "list after slice": (slice(None), [3, 0]),
    "mask": np.array([True, False, True]),
}
for name, key in KEYS.items():
    rows(f"index {name}", lambda x, k=key: x[k] * x[k], lambda x, k=key: x[k] ** 2, ((3, 4, 2),))
IDS = np.array([[0, 2, 2], [1, 0, 0]])
rows("index tensor", lambda x, i: x[i], lambda x, i: x[i], ((3, 4), IDS))
rows("take is embedding", index.take, lambda w, i: F.embedding(i, w), ((3, 4), IDS))
rows("gather", lambda x, i: index.gather(x, 1, i), lambda x, i: torch.gather(x, 1, i), ((2, 4), IDS))
rows("gather 0", lambda x, i: index.gather(x, 0, i), lambda x, i: torch.gather(x, 0, i), ((5, 3), IDS))

# ---------------------------------------------------------------- activations, losses, normalisation

# PyTorch's tanh form computes 1 + tanh(u) and so loses its digits beyond -3 in float32; ours is held to
# float64 there in tests/ops/test_activation.py
for name, far in (("none", 5), ("tanh", 3)):
    rows(
        f"gelu {name}",
        lambda x, n=name: activation.gelu(x, n),
        lambda x, n=name: F.gelu(x, approximate=n),
        *((s,) for s in SINGLES),
        low=-far,
        high=far,
    )
rows("silu", activation.silu, F.silu, *((s,) for s in SINGLES), low=-5, high=5)
for axis in (-1, 0):
    for given in ((3, 7), (1, 1), (2, 3, 5)):
        rows(
            f"softmax {axis}",
            lambda x, a=axis: softmax.softmax(x, a),
            lambda x, a=axis: F.softmax(x, a),
            (given,),
        )
        rows(
            f"log_softmax {axis}",
            lambda x, a=axis: softmax.log_softmax(x, a),
            lambda x, a=axis: F.log_softmax(x, a),
            (given,),
        )
WIDE = np.array([[1000.0, 0.0, -1000.0], [-1e4, -1e4, -1e4 + 1], [50.0, 49.0, 0.0]])
rows("softmax of large numbers", softmax.softmax, lambda x: F.softmax(x, -1), (WIDE,))
rows("log_softmax of large numbers", softmax.log_softmax, lambda x: F.log_softmax(x, -1), (WIDE,))
LABELS = np.array([1, 0, 3, 2, 3])
for reduction in ("mean", "sum", "none"):
    for smoothing in (0.0, 0.1):
        for ignored in (-100, 3):
            options = {"label_smoothing": smoothing, "ignore_index": ignored, "reduction": reduction}
            rows(
                f"cross_entropy {reduction} {smoothing} {ignored}",
                lambda x, y, o=options: softmax.cross_entropy(x, y, **o),
                lambda x, y, o=options: F.cross_entropy(x, y, **o),
                ((5, 4), LABELS),
            )
rows("cross_entropy of large numbers", softmax.cross_entropy, F.cross_entropy, (WIDE, np.array([1, 2, 0])))
rows(
    "layer_norm",
    lambda x, w, b: norm.layer_norm(x, w, b, 1e-3),
    lambda x, w, b: F.layer_norm(x, w.shape, w, b, 1e-3),
    ((3, 8), (8,), (8,)),
    ((2, 3, 5), (5,), (5,)),
    ((2, 3, 4), (3, 4), (3, 4)),
    ((0, 4), (4,), (4,)),
)
rows(
    "rms_norm", norm.rms_norm, lambda x, w: F.rms_norm(x, w.shape, w, 1e-5), ((3, 8), (8,)), ((2, 3, 5), (5,))
)

# ---------------------------------------------------------------- attention and images

Q, K, V = (2, 3, 4, 8), (2, 3, 6, 8), (2, 3, 6, 5)
ALLOWED = np.random.default_rng(1).random((2, 1, 4, 6)) < 0.7
ALLOWED[..., 0] = True
CAUSAL = np.tri(4, 6, 2, dtype=bool)  # aligned to the end: the last query sees all keys


def _sdpa(q: Any, k: Any, v: Any, mask: Any = None, **options: Any) -> Any:
    with torch.nn.attention.sdpa_kernel(
        torch.nn.attention.SDPBackend.MATH
    ):  # the one with second derivatives
        return F.scaled_dot_product_attention(q, k, v, mask, **options)


rows("attention", attention, _sdpa, (Q, K, V), ((1, 1, 1, 3), (1, 1, 7, 3), (1, 1, 7, 3)))
rows("attention mask", attention, _sdpa, (Q, K, V, ALLOWED))
rows(
    "attention scale",
    lambda q, k, v: attention(q, k, v, scale=0.3),
    lambda q, k, v: _sdpa(q, k, v, scale=0.3),
    (Q, K, V),
)
rows(
    "attention square causal",
    lambda q, k, v: attention(q, k, v, causal=True),
    lambda q, k, v: _sdpa(q, k, v, is_causal=True),
    (Q, Q, Q),
)
rows(
    "attention causal",
    lambda q, k, v: attention(q, k, v, causal=True),
    lambda q, k, v: _sdpa(q, k, v, torch.tensor(CAUSAL)),
    (Q, K, V),
)
rows(
    "attention causal mask",
    lambda q, k, v, m: attention(q, k, v, m, causal=True),
    lambda q, k, v, m: _sdpa(q, k, v, m & torch.tensor(CAUSAL)),
    (Q, K, V, ALLOWED),
)

CONVOLUTIONS: list[tuple[dict[str, Any], tuple[Any, ...]]] = [
    ({"padding": 1}, ((2, 3, 7, 5), (4, 3, 3, 3), (4,))),
    ({"stride": (2, 3), "padding": (1, 0)}, ((2, 2, 7, 9), (3, 2, 3, 2), (3,))),
    ({"dilation": (2, 1)}, ((1, 2, 7, 5), (2, 2, 3, 3))),
    ({"stride": 2, "padding": 2, "dilation": 2, "groups": 2}, ((2, 4, 8, 7), (6, 2, 3, 3), (6,))),
    ({"groups": 3, "padding": 1}, ((2, 3, 4, 4), (6, 1, 3, 3), (6,))),
    ({}, ((2, 5, 4, 3), (7, 5, 1, 1), (7,))),
    ({"stride": 3}, ((1, 1, 5, 5), (1, 1, 1, 1))),
    ({"padding": 1}, ((0, 3, 4, 4), (2, 3, 3, 3), (2,))),
]
for number, (options, given) in enumerate(CONVOLUTIONS):
    rows(
        f"conv2d {number}",
        lambda *t, o=options: conv2d(*t, **o),
        lambda *t, o=options: F.conv2d(*t, **o),
        given,
    )
for number, options in enumerate(
    [
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (3, 2), "stride": (1, 3), "padding": (0, 1)},
    ]
):
    for given in ((2, 3, 8, 7), (1, 1, 5, 5)):
        rows(
            f"max_pool2d {number}",
            lambda x, o=options: max_pool2d(x, **o),
            lambda x, o=options: F.max_pool2d(x, **o),
            (given,),
        )
        rows(
            f"avg_pool2d {number}",
            lambda x, o=options: avg_pool2d(x, **o),
            lambda x, o=options: F.avg_pool2d(x, **o),
            (given,),
        )
FLAT = np.ones((1, 1, 4, 4))
rows("max_pool2d of ties", lambda x: max_pool2d(x, 2), lambda x: F.max_pool2d(x, 2), (FLAT,))
for given in ((4, 3, 5, 2), (6, 3)):
    rows(
        "batch_norm training",
        lambda x, w, b: batch_norm(x, w, b, None, None, True, 0.1, 1e-3),
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True, 0.1, 1e-3),
        (given, (3,), (3,)),
    )
MEAN, VAR = np.array([0.5, -1.0, 2.0]), np.array([1.0, 0.3, 4.0])


def _ours_eval(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return batch_norm(x, w, b, Tensor(MEAN, x.dtype), Tensor(VAR, x.dtype), False)


def _theirs_eval(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return F.batch_norm(x, torch.tensor(MEAN, dtype=x.dtype), torch.tensor(VAR, dtype=x.dtype), w, b)


rows("batch_norm running", _ours_eval, _theirs_eval, ((4, 3, 5, 2), (3,), (3,)))


# ---------------------------------------------------------------- the tests


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_parity(row: Row, dtype: str) -> None:
    arrays = [x.astype(dtype) if x.dtype.kind == "f" else x for x in row.arrays(dtype)]
    compare(row.ours, row.theirs, arrays, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_running_statistics(dtype: str) -> None:
    x = numbers((4, 3, 5, 2), dtype, 1)
    ours = [Tensor(MEAN, dtype), Tensor(VAR, dtype)]
    theirs = [torch.tensor(v, dtype=getattr(torch, dtype)) for v in (MEAN, VAR)]
    for _ in range(3):
        batch_norm(Tensor(x), None, None, ours[0], ours[1], True, 0.3)
        F.batch_norm(torch.tensor(x), theirs[0], theirs[1], None, None, True, 0.3)
    for a, b in zip(ours, theirs, strict=True):
        assert relative_error(a, b) <= LIMIT[dtype]


def test_values_that_are_not_finite() -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -1.0])
    for name in ("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "erf", "abs", "neg"):
        ours, theirs = (
            getattr(arithmetic if name in ("abs", "neg") else elementwise, name)(Tensor(odd)),
            getattr(torch, name)(torch.tensor(odd)),
        )
        assert relative_error(ours, theirs) <= 1e-15, name
    for name in ("maximum", "minimum"):
        ours = getattr(arithmetic, name)(Tensor(odd), Tensor(odd[::-1].copy()))
        theirs = getattr(torch, name)(torch.tensor(odd), torch.tensor(odd[::-1].copy()))
        assert relative_error(ours, theirs) == 0, name
    for name, peer in (("sum", "sum"), ("mean", "mean"), ("max", "amax"), ("min", "amin")):
        for part in (odd, odd[1:2], odd[2:]):
            ours, theirs = getattr(Tensor(part), name)(), getattr(torch.tensor(part), peer)()
            assert relative_error(ours, theirs) == 0, name


@pytest.mark.parametrize("a", ["bool", "int8", "int32", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("b", ["bool", "int8", "int32", "int64", "float16", "float32", "float64"])
def test_promotion(a: str, b: str) -> None:
    for op in (operator.add, operator.mul, operator.truediv, operator.lt, arithmetic.maximum):
        theirs = torch.maximum if op is arithmetic.maximum else op
        x, y = (torch.ones(2, dtype=getattr(torch, name)) for name in (a, b))
        found = op(Tensor(x.numpy()), Tensor(y.numpy()))
        assert str(found.dtype) == str(theirs(x, y).dtype).removeprefix("torch.")


@pytest.mark.parametrize("name", ["bool", "int8", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("scalar", [True, 2, 2.5])
def test_promotion_with_python_numbers(name: str, scalar: Any) -> None:
    x = torch.ones(2, dtype=getattr(torch, name))
    for op in (operator.add, operator.mul, operator.truediv, operator.eq):
        for ours, theirs in (
            (op(Tensor(x.numpy()), scalar), op(x, scalar)),
            (op(scalar, Tensor(x.numpy())), op(scalar, x)),
        ):
            assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
            np.testing.assert_array_equal(ours.data, theirs.numpy())


def test_the_comparison_itself_fails_on_wrong_gradients() -> None:
    def wrong_gradient(x: Tensor) -> Tensor:
        return x * 2.0 - x.detach()

    def wrong_second(x: Tensor) -> Tensor:
        return x * x.detach() * 2.0 - x.detach() * x.detach()

    inputs = [numbers((3, 4), "float64", 0)]
    with pytest.raises(AssertionError, match="value"):
        compare(lambda x: x * (1 + 1e-9), lambda x: x * 1, inputs, "float64")
    with pytest.raises(AssertionError, match="gradient 0"):
        compare(wrong_gradient, lambda x: x * 1, inputs, "float64")
    with pytest.raises(AssertionError, match="second derivative 0"):
        compare(wrong_second, lambda x: x * x, inputs, "float64")

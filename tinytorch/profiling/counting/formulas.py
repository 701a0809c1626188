"""FLOPs and bytes of layers from their sizes alone: closed formulas, beside the rules of the ops that run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from tinytorch.errors import ProfilingError, ShapeError
from tinytorch.ops.spec import as_dtype, broadcast
from tinytorch.ops.window import count_windows, pair

Size: TypeAlias = int | Sequence[int]

CONVENTIONS = ("matmul", "all")
SOFTMAX, NORM = 8, 8
"""FLOPs an element: maximum, subtraction, exp (4), sum, division; mean, subtraction, square, sum, root and
scale, weight, bias."""
ACTIVATIONS = {"relu": 1, "tanh": 6, "sigmoid": 6, "silu": 6 + 1, "gelu": 6 + 4, "gelu_tanh": 14}
"""FLOPs an element; `gelu` is that of erf, with three products and a sum beside it."""
IDS = 8
"""Bytes of a token id, an int64."""


class Count(int):
    """A number of FLOPs that knows what it is made of; it compares, adds and prints as the int it is.

    `parts` are FLOPs by name and add up to it; `macs` are the multiply-adds of matrix products and
    convolutions; `bytes` are read and written, each input and output once.

    >>> Formulas().count_linear(4, 3, batch_size=2)
    48
    """

    macs: int
    bytes: int
    parts: dict[str, int]

    def __new__(
        cls, flops: int, macs: int = 0, bytes: int = 0, parts: Mapping[str, int] | None = None
    ) -> Count:
        out = super().__new__(cls, flops)
        out.macs, out.bytes, out.parts = macs, bytes, dict(parts or {})
        return out

    @property
    def flops(self) -> int:
        """Work, with a multiply-add as 2."""
        return int(self)

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte moved; None where nothing moves."""
        return int(self) / self.bytes if self.bytes else None


class Formulas:
    """Work of one layer in the convention chosen; the `count_*` functions that `FLOPCounter` offers.

    `dtype`: of the elements, for bytes. All raise ProfilingError for sizes that are no counts, ShapeError for
    those that do not fit each other.
    """

    def __init__(self, convention: str = "matmul", causal: bool = False, dtype: Any = "float32") -> None:
        if convention not in CONVENTIONS:
            raise ProfilingError(
                f"FLOPCounter: convention {convention!r} does not exist: it is 'matmul' (matrix products and "
                "convolutions, as published figures count) or 'all'"
            )
        self.convention, self.causal, self.dtype = convention, causal, as_dtype(dtype)

    def _made(self, products: dict[str, int], others: dict[str, int], elements: int, rest: int = 0) -> Count:
        """`elements` of the counter's dtype and `rest` bytes are moved; `others` count in "all" only."""
        parts = products if self.convention == "matmul" else products | others
        flops = sum(parts.values())
        return Count(flops, sum(products.values()) // 2, elements * self.dtype.itemsize + rest, parts)

    def count_matmul(self, a: Sequence[int], b: Sequence[int]) -> Count:
        """a @ b from shapes (..., n, k) and (..., k, m), leading axes broadcast: 2 n k m for each product.

        >>> Formulas().count_matmul((8, 128, 64), (64, 32))
        4194304
        """
        first, second = shape_of("count_matmul", a), shape_of("count_matmul", b)
        if min(len(first), len(second)) < 2 or first[-1] != second[-2]:
            raise ShapeError(f"count_matmul: {first} @ {second}: expected (..., n, k) @ (..., k, m)")
        n, k, m = first[-2], first[-1], second[-1]
        count = math.prod(broadcast("count_matmul", first[:-2], second[:-2]))
        elements = math.prod(first) + math.prod(second) + count * n * m
        return self._made({"products": 2 * count * n * k * m}, {}, elements)

    def count_linear(
        self, in_features: int, out_features: int, batch_size: int = 1, bias: bool = True
    ) -> Count:
        """x @ w^T + b for `batch_size` rows: 2 rows in out, and in "all" an addition for each output.

        x: (batch_size, in_features), w: (out_features, in_features), b: (out_features), if there is a bias.
        `parts` are "products", and in "all", where there is a bias, "bias"; `bytes` are those of x, w, b and
        the result, each once. `_check(name, **sizes)` raises for sizes that are no counts, and
        `self._made(products, others, elements)` makes the Count from FLOPs by name and elements moved.

        >>> Formulas("all").count_linear(784, 128).parts
        {'products': 200704, 'bias': 128}
        """
        _check("count_linear", in_features=in_features, out_features=out_features, batch_size=batch_size)
        results = batch_size * out_features
        elements = batch_size * in_features + in_features * out_features + results
        return self._made(
            {"products": 2 * results * in_features},
            {"bias": results} if bias else {},
            elements + (out_features if bias else 0),
        )

    def count_conv2d(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        input_size: Size,
        batch_size: int = 1,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> Count:
        """A convolution of images of `input_size`: 2 kh kw in / groups for each element of the result.

        Padding counts as any pixel does, as all counters have it.

        >>> Formulas().count_conv2d(3, 64, 7, 224, stride=2, padding=3, bias=False)
        236027904
        """
        name = "count_conv2d"
        _check(name, in_channels=in_channels, out_channels=out_channels, batch_size=batch_size)
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(
                f"{name}: {groups} groups do not divide {in_channels} and {out_channels} channels"
            )
        kernel, image = pair(name, "kernel_size", kernel_size), pair(name, "input_size", input_size)
        steps, frame = pair(name, "stride", stride), pair(name, "padding", padding, 0)
        rows, columns = count_windows(name, image, kernel, steps, frame, pair(name, "dilation", dilation))
        window = kernel[0] * kernel[1] * (in_channels // groups)
        results = batch_size * out_channels * rows * columns
        elements = batch_size * in_channels * image[0] * image[1] + out_channels * window + results
        return self._made(
            {"products": 2 * results * window},
            {"bias": results} if bias else {},
            elements + (out_channels if bias else 0),
        )

    def count_attention(
        self,
        seq_len: int,
        d_model: int,
        num_heads: int = 1,
        batch_size: int = 1,
        causal: bool = False,
        kv_len: int | None = None,
        projections: bool = True,
    ) -> Count:
        """Self-attention of `seq_len` queries with `kv_len` keys (None: as many), and its four projections.

        Scores and weighted sum take 4 d_model for each pair of query and key, whatever the number of heads;
        with `causal` only pairs in which query i sees key j <= i + kv_len - seq_len. Keys beyond `seq_len`
        are those of a cache: they are read, and not projected again. In "all", softmax and scaling take 9 a
        pair and head, and each projection adds a bias.

        >>> Formulas().count_attention(seq_len=128, d_model=512).parts
        {'projections': 268435456, 'scores and weighted sum': 33554432}
        """
        keys = seq_len if kv_len is None else kv_len
        sizes = {"seq_len": seq_len, "d_model": d_model, "batch_size": batch_size, "kv_len": keys}
        _check("count_attention", num_heads=num_heads, **sizes)
        if num_heads < 1 or d_model % num_heads:
            raise ShapeError(f"count_attention: {num_heads} heads do not divide d_model {d_model}")
        pairs = seq_len * keys
        if causal or self.causal:
            pairs = sum(max(0, min(keys, i + 1 + keys - seq_len)) for i in range(seq_len))
        features = batch_size * seq_len * d_model
        products, others, elements = {}, {}, 0
        if projections:
            products["projections"] = 4 * 2 * features * d_model
            others["biases"] = 4 * features
            elements += 4 * (2 * features + d_model * d_model + d_model)
        products["scores and weighted sum"] = 2 * 2 * batch_size * pairs * d_model
        others["softmax"] = (SOFTMAX + 1) * batch_size * num_heads * pairs
        weights = batch_size * num_heads * seq_len * keys
        elements += 2 * features + 2 * batch_size * keys * d_model + weights
        return self._made(products, others, elements)

    def count_embedding(self, seq_len: int, embedding_dim: int, batch_size: int = 1) -> Count:
        """Rows of a table picked by ids: no FLOPs; a row read and written for each id, whatever the table.

        >>> Formulas().count_embedding(128, 512).bytes
        525312
        """
        _check("count_embedding", seq_len=seq_len, embedding_dim=embedding_dim, batch_size=batch_size)
        ids = seq_len * batch_size
        return self._made({}, {"rows": 0}, 2 * ids * embedding_dim, IDS * ids)

    def count_layer_norm(self, shape: Size, axes: int = 1) -> Count:
        """x of `shape` normalised over its last `axes` axes, with weight and bias: 8 an element in "all".

        >>> Formulas("all").count_layer_norm((128, 512))
        524288
        """
        sizes = shape_of("count_layer_norm", shape)
        if not 0 < axes <= len(sizes):
            raise ShapeError(f"count_layer_norm: {sizes} has no {axes} axes to normalise over")
        size, inner = math.prod(sizes), math.prod(sizes[-axes:])
        rows = math.prod(sizes[:-axes])
        return self._made({}, {"norm": NORM * size}, 2 * size + 2 * inner + 2 * rows)

    def count_batch_norm(self, shape: Sequence[int], training: bool = False) -> Count:
        """x: (batch, channels, ...): 8 an element in training; 2 with running statistics, and 6 a channel.

        >>> Formulas("all").count_batch_norm((1, 64, 56, 56))
        401792
        """
        sizes = shape_of("count_batch_norm", shape)
        if len(sizes) < 2:
            raise ShapeError(f"count_batch_norm: {sizes} is not (batch, channels, ...)")
        size, channels = math.prod(sizes), sizes[1]
        work = NORM * size if training else 2 * size + 6 * channels
        return self._made({}, {"norm": work}, 2 * size + 4 * channels)

    def count_softmax(self, shape: Size) -> Count:
        """Softmax along any axis of `shape`: 8 an element in "all".

        >>> Formulas("all").count_softmax((8, 10))
        640
        """
        size = math.prod(shape_of("count_softmax", shape))
        return self._made({}, {"softmax": SOFTMAX * size}, 2 * size)

    def count_activation(self, name: str, shape: Size) -> Count:
        """One of relu, tanh, sigmoid, silu, gelu, gelu_tanh, each element read and written once.

        `gelu_tanh` writes what its gradient needs beside the result.

        >>> Formulas("all").count_activation("relu", (8, 10))
        80
        """
        if name not in ACTIVATIONS:
            raise ProfilingError(
                f"count_activation: {name!r} is not known; there are: {', '.join(ACTIVATIONS)}"
            )
        size = math.prod(shape_of("count_activation", shape))
        return self._made({}, {name: ACTIVATIONS[name] * size}, (3 if name == "gelu_tanh" else 2) * size)

    def count_gelu(self, shape: Size, approximate: str = "none") -> Count:
        """GELU, or with `approximate="tanh"` the form that GPT-2 uses: 10 or 14 an element in "all".

        >>> Formulas("all").count_gelu((8, 10), "tanh")
        1120
        """
        return self.count_activation("gelu" if approximate == "none" else f"gelu_{approximate}", shape)

    def count_pool2d(
        self,
        input_shape: Sequence[int],
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        kind: str = "max",
    ) -> Count:
        """Max- or average-pooling of (batch, channels, height, width): a FLOP for each element of a window.

        Max-pooling writes beside each result where it came from, a byte (4 for windows above 128).

        >>> Formulas("all").count_pool2d((1, 16, 28, 28), 2)
        12544
        """
        name, shape = "count_pool2d", shape_of("count_pool2d", input_shape)
        if kind not in ("max", "avg"):
            raise ProfilingError(f"{name}: kind is 'max' or 'avg', not {kind!r}")
        if len(shape) != 4:
            raise ShapeError(f"{name}: {shape} is not (batch, channels, height, width)")
        kernel = pair(name, "kernel_size", kernel_size)
        steps = kernel if stride is None else pair(name, "stride", stride)
        rows, columns = count_windows(name, shape[2:], kernel, steps, pair(name, "padding", padding, 0))
        results, window = shape[0] * shape[1] * rows * columns, kernel[0] * kernel[1]
        index = (1 if window <= 128 else 4) * results if kind == "max" else 0
        return self._made({}, {"pooling": window * results}, math.prod(shape) + results, index)


def _check(name: str, **sizes: Any) -> None:
    for what, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ProfilingError(f"{name}: {what} is {size!r}; expected a whole number, 0 or more")


def shape_of(name: str, shape: Any) -> tuple[int, ...]:
    """A shape as a tuple; raises ProfilingError for what is none."""
    sizes = (shape,) if isinstance(shape, int) else shape
    if isinstance(sizes, str) or not isinstance(sizes, Sequence):
        raise ProfilingError(f"{name}: {shape!r} is not a shape; give its sizes, such as (1, 3, 224, 224)")
    for size in sizes:
        _check(name, **{f"a size of {tuple(sizes)}": size})
    return tuple(sizes)

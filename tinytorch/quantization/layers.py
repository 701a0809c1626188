"""Layers whose weights are codes: Linear, Conv2d, Embedding, and how their inputs become codes."""

from __future__ import annotations

import math

import numpy as np

from tinytorch.nn.conv import Conv2d
from tinytorch.nn.embedding import embedding
from tinytorch.nn.module import Module
from tinytorch.ops.conv import conv2d
from tinytorch.ops.matmul import linear
from tinytorch.ops.quantize import LARGEST, quantize, quantize_rows
from tinytorch.ops.quantized import (
    Conv2dInt8,
    conv2d_int8,
    linear_int4,
    linear_int8,
    lookup_int4,
    lookup_int8,
)
from tinytorch.ops.spec import Array, float16, float32
from tinytorch.tensor import Tensor, from_numpy


class Inputs(Module):
    """Base of what makes codes of a layer's inputs: codes, scale, and the zero point where it is not 0."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        raise NotImplementedError


class ByRow(Inputs):
    """Codes of each row by its own largest number."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """x: (..., k); the scales are (..., 1)."""
        return *quantize_rows(x), None


class ByImage(Inputs):
    """Codes of each image by its own largest number."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """x: (n, c, h, w); the scales are (n, 1, 1, 1)."""
        n, *image = x.shape
        codes, scale = quantize_rows(x.reshape(n, math.prod(image)))
        return codes.reshape(*x.shape), scale.reshape(-1, 1, 1, 1), None


class ByRange(Inputs):
    """Codes within low .. high of one scale and zero point for all inputs, which calibration found."""

    scale: Tensor
    zero: Tensor | None

    def __init__(
        self, scale: Array, zero: Array | None = None, low: int = -LARGEST, high: int = LARGEST
    ) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.register_buffer("scale", from_numpy(np.asarray(scale, np.float32)))
        self.zero = None
        if zero is not None:
            self.register_buffer("zero", from_numpy(np.asarray(zero, np.int32)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        return quantize(x, self.scale, self.zero, self.low, self.high), self.scale, self.zero

    def extra_repr(self) -> str:
        return f"{self.low} .. {self.high}"


class Quantized(Module):
    """Base of layers on codes: `codes`, `scale` and, where the layer had one, a float32 `bias`."""

    codes: Tensor
    scale: Tensor
    bits: int = 8

    def _hold(self, codes: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        self.register_buffer("codes", codes)
        self.register_buffer("scale", scale)
        self.bias = None
        if bias is not None:
            self.register_buffer("bias", bias.detach().clone())

    @property
    def weight(self) -> Tensor:
        """What the codes stand for, float32, for who reads a layer's weight itself."""
        rows = from_numpy(np.arange(self.codes.shape[0]))
        if self.bits == 4:
            return lookup_int4(rows, self.codes, self.scale.to(float32))
        shape = self.codes.shape
        flat = self.codes.reshape(shape[0], -1)
        scale = self.scale if self.scale.ndim else self.scale.reshape(1).expand(shape[0])
        return lookup_int8(rows, flat, scale.reshape(-1, 1)).reshape(*shape)


class QuantizedLinear(Quantized):
    """A Linear layer on codes; x: (..., in_features), result (..., out_features).

    codes: int8 (out, in) with scale (out,) or (), or nibbles (out, in / 2) with float16 scales (out, groups).
    """

    def __init__(
        self, inputs: Inputs, codes: Tensor, scale: Tensor, bias: Tensor | None = None, bits: int = 8
    ) -> None:
        super().__init__()
        self.inputs, self.bits = inputs, bits
        self._hold(codes, scale, bias)

    def forward(self, x: Tensor) -> Tensor:
        codes, scale, zero = self.inputs(x)
        if self.bits == 4:
            out = linear_int4(codes, scale, self.codes, self.scale.to(float32))
        else:
            out = linear_int8(codes, scale, self.codes, self.scale, zero)
        return out if self.bias is None else out + self.bias

    def extra_repr(self) -> str:
        return f"int{self.bits}"


class QuantizedConv2d(Quantized):
    """A convolution on codes; x: (n, c, h, w). codes: int8 (o, c / groups, kh, kw), scale: (o,) or ()."""

    def __init__(
        self, layer: Conv2d, inputs: Inputs, codes: Tensor, scale: Tensor, bias: Tensor | None
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.op = Conv2dInt8(layer.stride, layer.padding, layer.dilation, layer.groups)
        self._hold(codes, scale, bias)

    def forward(self, x: Tensor) -> Tensor:
        codes, scale, zero = self.inputs(x)
        out = conv2d_int8(self.op, codes, scale, self.codes, self.scale, zero)
        return out if self.bias is None else out + self.bias.reshape(-1, 1, 1)

    def extra_repr(self) -> str:
        return "int8"


class QuantizedEmbedding(Quantized):
    """A vector for each id, out of codes; ids: (...), result (..., dim). One scale a row, or one a group."""

    def __init__(self, codes: Tensor, scale: Tensor, bits: int = 8) -> None:
        super().__init__()
        self.bits = bits
        self._hold(codes, scale, None)

    def forward(self, ids: Tensor) -> Tensor:
        if self.bits == 4:
            return lookup_int4(ids, self.codes, self.scale.to(float32))
        return lookup_int8(ids, self.codes, self.scale.reshape(-1, 1))

    def logits(self, x: Tensor) -> Tensor:
        """Dot products of x: (..., dim) with the vectors of all ids, x as codes by row."""
        codes, scale = quantize_rows(x)
        if self.bits == 4:
            return linear_int4(codes, scale, self.codes, self.scale.to(float32))
        return linear_int8(codes, scale, self.codes, self.scale)

    def extra_repr(self) -> str:
        return f"int{self.bits}"


class Half(Module):
    """Base of layers whose weight is stored in float16, and computed with in float32."""

    half: Tensor

    def _hold(self, weight: Tensor, bias: Tensor | None) -> None:
        self.register_buffer("half", weight)
        self.bias = None
        if bias is not None:
            self.register_buffer("bias", bias.detach().clone())

    @property
    def weight(self) -> Tensor:
        """The weight in float32."""
        return self.half.to(float32)

    def extra_repr(self) -> str:
        return str(float16)


class HalfLinear(Half):
    """A Linear layer whose weight is float16 in memory."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._hold(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class HalfConv2d(Half):
    """A convolution whose weight is float16 in memory."""

    def __init__(self, layer: Conv2d, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
        self._hold(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, self.bias, *self.geometry)


class HalfEmbedding(Half):
    """An embedding whose table is float16 in memory."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self._hold(weight, None)

    def forward(self, ids: Tensor) -> Tensor:
        return embedding(ids, self.half).to(float32)

    def logits(self, x: Tensor) -> Tensor:
        """Dot products of x: (..., dim) with the vectors of all ids."""
        return linear(x, self.weight)

"""From a layer to one on codes: scales, codes, ranges, and what rounding cost made good where asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, cast

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.errors import QuantizationError
from tinytorch.nn.conv import Conv2d
from tinytorch.nn.embedding import Embedding
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module
from tinytorch.ops.integer import pack_nibbles
from tinytorch.ops.quantize import LARGEST
from tinytorch.ops.spec import Array
from tinytorch.quantization import layers
from tinytorch.quantization.calibrate import Seen
from tinytorch.quantization.gptq import least_squares_scales, rounded_in_turn, stored
from tinytorch.quantization.grid import (
    affine_grid,
    channel_scales,
    codes_of,
    group_codes,
    group_scales,
    group_size,
    symmetric_scale,
)
from tinytorch.quantization.ranges import RANGES
from tinytorch.quantization.scheme import Scheme
from tinytorch.tensor import Tensor, from_numpy

Rounding = Literal["nearest", "gptq"]
SIZES: Mapping[type[Module], tuple[str, ...]] = {
    Linear: ("in_features", "out_features"),
    Conv2d: ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"),
    Embedding: ("num_embeddings", "embedding_dim"),
}
"""What layers on codes can be asked for too, as models do in their `forward`."""


@dataclass
class Converter:
    """Makes layers on codes; a weight that two layers share becomes codes that they share.

    `rounding`: "nearest", or "gptq" for Linear layers whose inputs' gram matrix was kept. `correct`: add to a
    layer's bias what its results are off by in the mean, over the inputs that calibration kept.
    """

    rounding: Rounding = "nearest"
    correct: bool = False
    shared: frozenset[int] = frozenset()
    """Ids of weights that embeddings have, which other layers may share."""
    as_trained: bool = False
    """Whether grids are those that `aware` trained with: set by the largest number, also with four bits."""
    _codes: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def convert(self, layer: Module, seen: Seen, scheme: Scheme) -> Module:
        """The layer on codes; raises QuantizationError where the scheme does not suit its sizes."""
        with no_grad():
            if isinstance(layer, Embedding):
                made = self._embedding(layer, scheme)
            elif isinstance(layer, Linear | Conv2d):
                made = self._half(layer) if scheme.bits == 16 else self._on_codes(layer, seen, scheme)
                if self.correct and scheme.bits != 16:
                    correct_bias(layer, cast("layers.Quantized", made), seen)
            else:
                raise QuantizationError(f"{type(layer).__name__} cannot be quantized")
        for name in SIZES[type(layer)]:
            setattr(made, name, getattr(layer, name))
        return made

    def _half(self, layer: Linear | Conv2d) -> Module:
        weight = self._half_of(layer.weight)
        if isinstance(layer, Linear):
            return layers.HalfLinear(weight, layer.bias)
        return layers.HalfConv2d(layer, weight, layer.bias)

    def _half_of(self, weight: Tensor) -> Tensor:
        key = id(weight), 16, 0
        if key not in self._codes:
            most = np.finfo(np.float16).max
            half = from_numpy(np.clip(weight.data, -most, most).astype(np.float16))
            self._codes[key] = half, half
        return self._codes[key][0]

    def _embedding(self, layer: Embedding, scheme: Scheme) -> Module:
        if scheme.bits == 16:
            return layers.HalfEmbedding(self._half_of(layer.weight))
        scheme = in_eight(scheme)
        codes, scale = self._coded(layer.weight, scheme, None, channels=True)
        return layers.QuantizedEmbedding(codes, scale, scheme.bits)

    def _on_codes(self, layer: Linear | Conv2d, seen: Seen, scheme: Scheme) -> Module:
        if isinstance(layer, Conv2d):
            inputs = inputs_for(layer, seen, scheme)
            codes, scale = self._coded(layer.weight, in_eight(scheme), None)
            return layers.QuantizedConv2d(layer, inputs, codes, scale, layer.bias)
        if id(layer.weight) in self.shared:
            scheme = in_eight(scheme)
        inputs = inputs_for(layer, seen, scheme)
        codes, scale = self._coded(layer.weight, scheme, seen)
        return layers.QuantizedLinear(inputs, codes, scale, layer.bias, scheme.bits)

    def _coded(
        self, weight: Tensor, scheme: Scheme, seen: Seen | None, channels: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Codes and scale of a weight, the same tensors each time it is asked for."""
        key = id(weight), scheme.bits, scheme.group
        if key not in self._codes:
            w = weight.data
            if not np.isfinite(w).all():
                raise QuantizationError("a weight holds NaN or infinity, which no code stands for")
            gram = seen.gram if seen is not None and self.rounding == "gptq" else None
            if scheme.bits == 4:
                codes, scale = four_bits(w, scheme.group, gram, largest=self.as_trained)
            else:
                per = "channel" if channels or id(weight) in self.shared else scheme.per
                codes, scale = eight_bits(w, per, gram)
            self._codes[key] = from_numpy(codes), from_numpy(scale)
        return self._codes[key]


def in_eight(scheme: Scheme) -> Scheme:
    """The scheme with eight bits where it says four.

    So for filters, which have few inputs, and groups of them as many scales; and for embeddings, and what
    shares their codes, whose rows are read one at a time: rounding them costs most and gains little time.
    """
    return replace(scheme, bits=8, per="channel") if scheme.bits == 4 else scheme


def eight_bits(w: Array, per: str, gram: Array | None = None) -> tuple[Array, Array]:
    """int8 codes of w: (outputs, ...), and its scales: (outputs,), or () for the whole tensor."""
    scale = symmetric_scale(np.abs(w).max()) if per == "tensor" else channel_scales(w)
    if gram is not None and w.ndim == 2:
        rows = np.broadcast_to(scale, len(w)).astype(np.float32).reshape(-1, 1)
        return rounded_in_turn(w, gram, rows.copy()), scale
    return codes_of(w, scale.reshape(scale.shape + (1,) * (w.ndim - 1) * scale.ndim)), scale


def four_bits(
    w: Array, most: int, gram: Array | None = None, *, largest: bool = False
) -> tuple[Array, Array]:
    """Nibbles of w: (n, k / 2), and float16 scales (n, groups) for groups of at most `most` inputs.

    `largest`: have the largest number of a group set its scale, rather than what loses least.
    """
    size = group_size(w.shape[1], most)
    scales = stored(group_scales(w, size)) if largest else least_squares_scales(w, size)
    if gram is not None:
        codes = rounded_in_turn(w, gram, scales, bits=4)
    else:
        codes = group_codes(w, scales)
    return pack_nibbles(codes), scales.astype(np.float16)


def inputs_for(layer: Linear | Conv2d, seen: Seen, scheme: Scheme) -> layers.Inputs:
    """How a layer's inputs become codes."""
    image = isinstance(layer, Conv2d)
    kind = scheme.inputs(image)
    if kind == "dynamic":
        return layers.ByImage() if image else layers.ByRow()
    low, high = seen.settled or RANGES[scheme.ranges](seen.values, seen.low, seen.high)
    if kind == "static-uint8":
        scale, zero = affine_grid(low, high)
        return layers.ByRange(scale, zero, -128, 127)
    scale = symmetric_scale(np.array(max(-low, high, 0.0)))
    return layers.ByRange(scale, None, 0 if seen.low >= 0 else -LARGEST, LARGEST)


def correct_bias(layer: Linear | Conv2d, made: layers.Quantized, seen: Seen) -> None:
    """Add to the bias what the results on codes are off by in the mean, for each output.

    Nagel, van Baalen, Blankevoort, Welling, "Data-free quantization through weight equalization and bias
    correction", 2019, with inputs that were seen in the place of assumptions about them.
    """
    x = from_numpy(seen.kept)
    wanted, found = layer(x).data, made(x).data
    axes = (0, 2, 3) if isinstance(layer, Conv2d) else (0,)
    off = (wanted.astype(np.float64) - found).mean(axes).astype(np.float32)
    old = np.zeros_like(off) if made.bias is None else made.bias.data
    made.register_buffer("bias", from_numpy(old + off))

"""Quantization-aware training: layers that round as codes will, so that training learns to live with it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import numpy as np

from tinytorch.errors import QuantizationError
from tinytorch.nn.conv import Conv2d
from tinytorch.nn.embedding import Embedding, embedding
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module
from tinytorch.ops.arithmetic import abs as absolute
from tinytorch.ops.arithmetic import maximum, minimum
from tinytorch.ops.compare import where
from tinytorch.ops.context import grad_mode
from tinytorch.ops.conv import conv2d
from tinytorch.ops.matmul import linear
from tinytorch.ops.quantize import LARGEST, TINY, fake_quantize, quantize
from tinytorch.ops.spec import int32
from tinytorch.quantization import fold
from tinytorch.quantization.calibrate import Batch, Seen, calibrate, filled, inputs_of, layers_of
from tinytorch.quantization.convert import in_eight
from tinytorch.quantization.grid import group_size, largest_code
from tinytorch.quantization.ranges import RANGES, Range
from tinytorch.quantization.scheme import Scheme, scheme_of
from tinytorch.tensor import Tensor, from_numpy

MOMENTUM = 0.01
"""Of a range that follows what it sees: the share of each new batch in it."""
_zero, _least = (from_numpy(np.array(number, np.int32)) for number in (0, -128))


def rounded(x: Tensor, axes: int | tuple[int, ...] | None, bits: int = 8) -> Tensor:
    """x as codes keep it, on symmetric grids whose largest code is the largest |x| along the axes.

    The grids are taken as given: no gradient goes through them.

    >>> rounded(Tensor([[1.0, 0.3], [7.0, 1.4]]), -1, bits=4)
    Tensor([[1.    , 0.2857],
            [7.    , 1.    ]])
    """
    most = largest_code(bits)
    with grad_mode(False):
        largest = absolute(x.detach()).max(axes, keepdims=True)
        scale = where(largest < TINY, 1.0, largest / float(most))
    return fake_quantize(x, scale, _zero, -most, most)


def rounded_weight(w: Tensor, scheme: Scheme) -> Tensor:
    """A weight as codes keep it: by tensor, by output, or by groups of inputs."""
    if scheme.bits == 16:
        return w
    if scheme.bits == 4:
        n, k = w.shape
        grouped = w.reshape(n, k // group_size(k, scheme.group), -1)
        return rounded(grouped, -1, bits=4).reshape(n, k)
    return rounded(w, None if scheme.per == "tensor" else tuple(range(1, w.ndim)))


class ByRow(Module):
    """Each row as codes keep it that have a scale for each."""

    def forward(self, x: Tensor) -> Tensor:
        return rounded(x, -1)


class ByImage(Module):
    """Each image as codes keep it that have a scale for each."""

    def forward(self, x: Tensor) -> Tensor:
        return rounded(x, (1, 2, 3))


class ByRange(Module):
    """x as codes of one range keep it: from calibration at first, then following what training sees.

    low, high: one number each; in training they move by MOMENTUM towards the lowest and highest of a batch.
    """

    low: Tensor
    high: Tensor

    def __init__(self, found: Range, unsigned: bool) -> None:
        super().__init__()
        self.unsigned = unsigned
        for name, number in zip(("low", "high"), found, strict=True):
            self.register_buffer(name, from_numpy(np.array(number, np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        with grad_mode(False):
            if self.training:
                seen = x.detach()
                self.low.assign_(self.low + (seen.min() - self.low) * MOMENTUM)
                self.high.assign_(self.high + (seen.max() - self.high) * MOMENTUM)
            low, high = minimum(self.low, 0.0), maximum(self.high, 0.0)
            width = high - low if self.unsigned else maximum(high, -low)
            scale = where(width < TINY, 1.0, width / (255.0 if self.unsigned else float(LARGEST)))
            zero = _zero
            if self.unsigned:
                code = quantize(-low, scale, _least, -128, 127).to(int32)
                zero = where(width < TINY, _zero, code)
        return fake_quantize(x, scale, zero, -128 if self.unsigned else -LARGEST, LARGEST)


class Aware(Module):
    """Base of layers in training that see weight and inputs as codes will keep them.

    `weight` and `bias` are the layer's own parameters, in float32: what training moves by less than a code
    adds up in them.
    """

    def __init__(self, layer: Linear | Conv2d | Embedding, scheme: Scheme, inputs: Module | None) -> None:
        super().__init__()
        self.scheme, self.inputs = scheme, inputs
        self.weight = layer.weight
        self.bias = None if isinstance(layer, Embedding) else layer.bias

    def extra_repr(self) -> str:
        return self.scheme.name


class AwareLinear(Aware):
    """A Linear layer that rounds as `QuantizedLinear` will."""

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.inputs is None else self.inputs(x)
        return linear(x, rounded_weight(self.weight, self.scheme), self.bias)


class AwareConv2d(Aware):
    """A convolution that rounds as `QuantizedConv2d` will."""

    def __init__(self, layer: Conv2d, scheme: Scheme, inputs: Module | None) -> None:
        super().__init__(layer, scheme, inputs)
        self.geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.inputs is None else self.inputs(x)
        return conv2d(x, rounded_weight(self.weight, self.scheme), self.bias, *self.geometry)


class AwareEmbedding(Aware):
    """An embedding whose rows are rounded as those of `QuantizedEmbedding` will be."""

    def forward(self, ids: Tensor) -> Tensor:
        rows = embedding(ids, self.weight)
        return rows if self.scheme.bits == 16 else rounded(rows, -1)


def aware(model: Module, calibration: Iterable[Batch], scheme: str | Scheme = "int8") -> Module:
    """A copy of the model to train on: its layers round as those of `quantize` with this scheme will.

    Its parameters are float32, under the names that they had. Train it as any model, with a small learning
    rate, then hand it to `quantize`. Batch norms are folded into convolutions first. Ranges of activations
    begin as calibration finds them and follow what training sees. Raises QuantizationError as `quantize`
    does, and for "mixed", which is not settled before training.

    >>> from tinytorch.models import MLP
    >>> trained = aware(MLP((16, 8, 4)), [Tensor(np.ones((2, 16), np.float32))])
    >>> [type(layer).__name__ for layer in trained.layers]
    ['AwareLinear', 'ReLU', 'AwareLinear']
    """
    chosen, batches = scheme_of(scheme), [inputs_of(batch) for batch in filled(calibration)]
    if chosen.name == "mixed":
        raise QuantizationError("aware: 'mixed' settles the bits of a layer after training. Name a scheme.")
    if any(isinstance(module, Aware) for module in model.modules()):
        raise QuantizationError("aware: this model trains in this way already")
    twin = copy.deepcopy(model)
    fold.fold_batch_norms(twin, batches[0])
    layers = layers_of(twin)
    seen = calibrate(twin, batches, layers)
    tables = {id(layer.weight) for layer in layers.values() if isinstance(layer, Embedding)}
    for path, layer in layers.items():
        if seen[path].calls:
            fold.replace(twin, path, _aware(layer, seen[path], chosen, tables))
    return twin


def _aware(layer: Module, seen: Seen, scheme: Scheme, tables: set[int]) -> Module:
    if isinstance(layer, Embedding):
        return AwareEmbedding(layer, in_eight(scheme), None)
    if isinstance(layer, Conv2d):
        return AwareConv2d(layer, in_eight(scheme), _inputs(layer, seen, scheme))
    assert isinstance(layer, Linear), "there are no other layers that can be quantized"
    if id(layer.weight) in tables:
        scheme = in_eight(scheme)
    return AwareLinear(layer, scheme, _inputs(layer, seen, scheme))


def _inputs(layer: Linear | Conv2d, seen: Seen, scheme: Scheme) -> Module | None:
    """What rounds the inputs of a layer, as `inputs_for` will have them become codes."""
    image = isinstance(layer, Conv2d)
    kind = scheme.inputs(image)
    if scheme.bits == 16:
        return None
    if kind == "dynamic":
        return ByImage() if image else ByRow()
    found = RANGES[scheme.ranges](seen.values, seen.low, seen.high)
    return ByRange(found, kind == "static-uint8")


def trained(model: Module) -> tuple[Module, Mapping[str, Range]]:
    """What `aware` made, as training left it: a model of plain layers, and the ranges of inputs by path."""
    twin, ranges = copy.deepcopy(model), {}
    for path, module in list(twin.named_modules()):
        if isinstance(module, Aware):
            if isinstance(module.inputs, ByRange):
                ranges[path] = float(module.inputs.low.item()), float(module.inputs.high.item())
            fold.replace(twin, path, _plain(module))
    return twin, ranges


def _plain(module: Aware) -> Module:
    """The float32 layer with these parameters."""
    o, i = module.weight.shape[:2]
    made: Linear | Conv2d | Embedding
    if isinstance(module, AwareConv2d):
        stride, padding, dilation, groups = module.geometry
        height, width = module.weight.shape[2:]
        made = Conv2d(i * groups, o, (height, width), stride, padding, dilation, groups)
    elif isinstance(module, AwareEmbedding):
        made = Embedding(o, i)
    else:
        made = Linear(i, o)
    made.weight = module.weight
    if not isinstance(made, Embedding):
        made.bias = module.bias
    return made

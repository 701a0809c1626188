"""Removal: parameters without the entries of some channels, and a model that is smaller by them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from typing import TypeVar

import numpy as np

from tinytorch.compression.dependencies import Dependencies, Inputs, Use, dependencies, traced
from tinytorch.errors import CompressionError, TinyTorchError
from tinytorch.models.bert import BERT, BERTBlock
from tinytorch.models.cnn import CNN
from tinytorch.models.gpt import GPT
from tinytorch.models.mlp import MLP
from tinytorch.nn.attention import MultiHeadAttention
from tinytorch.nn.conv import BatchNorm2d, Conv2d
from tinytorch.nn.embedding import Embedding, Positions
from tinytorch.nn.layers import LayerNorm, Linear, RMSNorm
from tinytorch.nn.module import Module, Parameter
from tinytorch.nn.transformer import TransformerBlock
from tinytorch.ops.spec import Array
from tinytorch.tensor import Tensor, from_numpy

_Block = TypeVar("_Block", bound=Module)


def keep_largest(scores: Array, count: int) -> Array:
    """The places of the `count` largest scores, in rising order of place: int64 (count,).

    scores: (n,), finite. Of equal scores the earlier ones stay. 0 <= count <= n.

    >>> keep_largest(np.array([3.0, 1.0, 2.0, 2.0]), 2)
    array([0, 2])
    """
    order = np.argsort(-scores, kind="stable")
    return np.sort(order[:count])


def cut(array: Array, axis: int, kept: Array) -> Array:
    """The entries of an array at the places `kept` along an axis, in that order, as an array of its own.

    kept: int (m,). The result has size m along the axis, the other axes and the dtype stay, and it lies in
    memory in row-major order, sharing none with `array`.

    >>> cut(np.array([[1, 2, 3], [4, 5, 6]]), 1, np.array([0, 2]))
    array([[1, 3],
           [4, 6]])
    """
    found: Array = np.ascontiguousarray(np.take(array, kept, axis))
    return found


def remove_channels(arrays: Mapping[str, Array], uses: Iterable[Use], removed: Array) -> dict[str, Array]:
    """All arrays, by name, those that have entries of removed channels without these.

    removed: bool, for each number of a channel whether it goes. Each of `uses` names an array and an axis of
    it, and says in `channels`, (size of the axis,), which channel each entry along it belongs to; -1 is none,
    and stays. So a convolution's filters go along axis 0 of its weight and its bias, of the four vectors of a
    batch norm, and along axis 1 of what reads them, a run of height * width columns each if that is a Linear
    after a flatten. An array may have uses for several of its axes. The arrays given stay as they are.

    >>> arrays = {"weight": np.array([[1, 2], [3, 4]]), "bias": np.array([5, 6])}
    >>> arrays["next"] = np.array([[7, 8, 9]])
    >>> uses = [Use(name, 0, np.array([0, 1])) for name in ("weight", "bias")]
    >>> uses += [Use("next", 1, np.array([0, 0, 1]))]
    >>> remove_channels(arrays, uses, np.array([True, False]))
    {'weight': array([[3, 4]]), 'bias': array([6]), 'next': array([[9]])}
    """
    found = dict(arrays)
    for use in uses:
        goes = (use.channels >= 0) & removed[use.channels]
        if goes.any():
            found[use.name] = cut(found[use.name], use.axis, np.flatnonzero(~goes))
    return found


def remove(model: Module, inputs: Inputs, removed: Mapping[str, Sequence[int]]) -> Module:
    """A copy of the model without some channels; the model itself stays as it is.

    `removed`: by the path of a layer (or of an attention, for its heads), the places of the channels to
    remove among those it makes, as in the group of that name in `dependencies(model, inputs)`. All that
    belongs to them goes too; the copy is an ordinary model of smaller layers, which gives what the model
    would give if nothing read these channels ("width" aside: norms take their statistics over what is left).

    Raises CompressionError for layers that make no channels or fixed ones, places that are not there, and
    the removal of all; and where a layer keeps sizes of its own that no longer fit.

    >>> from tinytorch.models import MLP
    >>> remove(MLP((4, 8, 3)), None, {"layers.0": [1, 7]})
    MLP(sizes=(4, 6, 3)), 51 parameters
      flatten: Flatten()
      layers: Sequential(), 51 parameters
        0: Linear(4, 6), weight (6, 4), bias (6,), 30 parameters
        1: ReLU()
        2: Linear(6, 3), weight (3, 6), bias (3,), 21 parameters
    """
    found = dependencies(model, inputs)
    goes = np.zeros(found.count, bool)
    for layer, places in removed.items():
        group = found.group(layer)
        wrong = [i for i in places if not 0 <= i < len(group)]
        if wrong:
            raise CompressionError(f"{layer}: has channels 0 to {len(group) - 1}, not {wrong[0]}")
        goes[group.channels[np.asarray(places, np.int64)]] = True
    return without(model, found, goes, inputs)


def without(model: Module, found: Dependencies, removed: Array, inputs: Inputs) -> Module:
    """A copy of the model without the channels whose numbers are marked. Raises CompressionError."""
    for group in found.groups:
        if not group.fixed and removed[group.channels].all():
            raise CompressionError(
                f"{group.name}: all of its {len(group)} {group.kind} would be removed. Leave at least one."
            )
    small = copy.deepcopy(model)
    tensors = dict(small._tensors("parameter", "buffer"))
    arrays = remove_channels({name: t.data for name, t in tensors.items()}, found.uses, removed)
    before = {path: sizes_of(module) for path, module in small.named_modules()}
    made = {
        id(tensors[name]): _like(tensors[name], array)
        for name, array in arrays.items()
        if array.shape != tensors[name].shape
    }
    for module in small.modules():
        for name, role in module._roles.items():
            if role != "module" and id(module.__dict__[name]) in made:
                setattr(module, name, made[id(module.__dict__[name])])
    for path, module in reversed(list(small.named_modules())):
        if sizes_of(module) != before[path]:
            resized(module, before[path])
    try:
        graph = traced(small, inputs)
    except TinyTorchError as error:
        raise CompressionError(f"the model does not run without these channels: {error}") from error
    found.require_as_expected(graph, removed)
    return small


def _like(tensor: Tensor, array: Array) -> Tensor:
    """The array in the place of a parameter or buffer."""
    made = from_numpy(array)
    return Parameter(made) if tensor.requires_grad else made


# ---------------------------------------------------------------- the sizes that modules keep


Shapes = Mapping[str, tuple[int, ...]]
"""Of the tensors that a module and its parts hold, by name."""


def sizes_of(module: Module) -> Shapes:
    """The shapes of a module's parameters and buffers, by name."""
    return {name: tensor.shape for name, tensor in module._tensors("parameter", "buffer")}


@singledispatch
def resized(module: Module, before: Shapes) -> None:
    """Set the sizes that a module keeps to those of its weights, whose shapes of before are given.

    Modules of other classes keep none; `resized.register` takes a function for a class of one's own.
    """


@resized.register
def _(module: Linear, before: Shapes) -> None:
    module.out_features, module.in_features = module.weight.shape


@resized.register
def _(module: Conv2d, before: Shapes) -> None:
    old, (out, inside) = before["weight"], module.weight.shape[:2]
    if module.groups > 1 and old[1] == 1:  # depthwise: as many groups as channels
        module.groups = out // (old[0] // module.groups)
    module.out_channels, module.in_channels = out, inside * module.groups


@resized.register
def _(module: BatchNorm2d, before: Shapes) -> None:
    (module.num_features,) = module.weight.shape


@resized.register(LayerNorm)
@resized.register(RMSNorm)
def _(module: LayerNorm | RMSNorm, before: Shapes) -> None:
    module.normalized_shape = module.weight.shape


@resized.register
def _(module: Embedding, before: Shapes) -> None:
    module.num_embeddings, module.embedding_dim = module.weight.shape


@resized.register
def _(module: Positions, before: Shapes) -> None:
    module.context, module.dim = module.table.shape


@resized.register
def _(module: MultiHeadAttention, before: Shapes) -> None:
    head_dim = before["q_proj.weight"][0] // module.num_heads
    module.num_heads = module.q_proj.out_features // head_dim
    module.embed_dim = module.q_proj.in_features


@resized.register
def _(module: MLP, before: Shapes) -> None:
    linear = [layer for layer in module.layers if isinstance(layer, Linear)]
    if len(linear) == len(module.sizes) - 1:
        module.sizes = (linear[0].in_features, *(layer.out_features for layer in linear))


@resized.register
def _(module: CNN, before: Shapes) -> None:
    convolutions, linear = (module.conv1, module.conv2), module.fc1
    if all(isinstance(layer, Conv2d) for layer in convolutions) and isinstance(linear, Linear):
        module.channels = tuple(layer.out_channels for layer in convolutions)
        module.hidden = linear.out_features


@resized.register
def _(module: GPT, before: Shapes) -> None:
    module.width, module.layers = module.wte.embedding_dim, len(module.blocks)
    module.heads = _same((b.attn.num_heads for b in _of(TransformerBlock, module.blocks)), module.heads)


@resized.register
def _(module: BERT, before: Shapes) -> None:
    module.width, module.layers = module.embeddings.words.embedding_dim, len(module.blocks)
    blocks = _of(BERTBlock, module.blocks)
    module.heads = _same((block.attn.num_heads for block in blocks), module.heads)
    module.hidden = _same((block.mlp.fc1.out_features for block in blocks), module.hidden)


def _of(kind: type[_Block], blocks: Iterable[Module]) -> list[_Block]:
    return [block for block in blocks if isinstance(block, kind)]


def _same(sizes: Iterable[int], otherwise: int) -> int:
    """The size that all have, if they have one."""
    found = set(sizes)
    return found.pop() if len(found) == 1 else otherwise

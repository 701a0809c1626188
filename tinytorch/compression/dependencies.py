"""Dependencies: which entries of which parameters make up a channel, and so can only be removed together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.trace import trace
from tinytorch.autograd import no_grad
from tinytorch.compression.channels import HEADS, MAKES, READS, WIDTH
from tinytorch.compression.follow import Follow
from tinytorch.errors import CompressionError
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.tensor import Tensor
from tinytorch.training.metrics import evaluating

Inputs: TypeAlias = "Tensor | Sequence[Tensor] | None"
ROOT = "(model)"
"""The path of a model that is a layer itself."""
KINDS = ("channels", "heads", "width")
"""Filters and neurons; heads of attention; features over which a norm or a mean takes statistics."""


@dataclass(frozen=True)
class Use:
    """One axis of a parameter or buffer, and the channel that each entry along it belongs to.

    channels: int (size of the axis,), numbers that hold for the whole model, -1 for none. The entries of
    some make channels (rows of a Linear weight, filters), those of some read them (its columns), of some both
    (a tied embedding), and of others neither: biases and batch norms go along. A parameter has one for each
    of its axes that has channels.
    """

    name: str
    axis: int
    channels: Array
    makes: bool = False
    reads: bool = False


@dataclass(frozen=True)
class Group:
    """Channels that lie along the same axes of the same parameters.

    `name`: the path of the layer that makes them first (of the attention, for heads), `layers`: all that do.
    `channels`: their numbers, as in `Use`. `fixed`: why none can be removed, or "".
    """

    name: str
    kind: str
    layers: tuple[str, ...]
    channels: Array
    fixed: str

    def __len__(self) -> int:
        return len(self.channels)


@dataclass(frozen=True)
class _Step:
    """A call of the model's graph, and the channels along the axes of what it makes."""

    op: str
    path: str
    axes: tuple[tuple[Array, ...], ...]


@dataclass(frozen=True)
class Dependencies:
    """Groups of channels, where they are, and what the model's ops make of them: see `dependencies`."""

    groups: tuple[Group, ...]
    uses: tuple[Use, ...]
    count: int
    """How many channels there are in all."""
    steps: tuple[_Step, ...]
    numbers: tuple[float, ...]
    """Constants of one element, which may be worked out from sizes."""

    def group(self, layer: str) -> Group:
        """The group that a layer makes, by its path or the group's name.

        Raises CompressionError where there is none, and where it is fixed, saying why.
        """
        found = [g for g in self.groups if g.name == layer or layer in g.layers]
        open_ = [g for g in found if not g.fixed]
        if not found:
            names = ", ".join(g.name for g in self.groups if not g.fixed) or "none"
            raise CompressionError(f"{layer}: no layer that makes channels has this path; there are: {names}")
        if not open_:
            raise CompressionError(f"{layer}: its channels cannot be removed: {found[0].fixed}")
        return open_[0]

    def require_as_expected(self, graph: Graph, removed: Array) -> None:
        """Raise CompressionError unless a graph has the ops that are expected once channels are removed.

        A layer that keeps sizes of its own would go on computing with the old ones, or with wrong ones.
        """
        for step, call in zip(self.steps, graph.calls, strict=False):
            expected = [tuple(_left(axis, removed) for axis in axes) for axes in step.axes]
            shapes = [graph.specs[v].shape for v in call.outputs]
            if (call.op.name, call.path) != (step.op, step.path) or shapes != expected:
                raise CompressionError(
                    f"{step.path or 'the model'}: {step.op} should give {expected[0]} once channels are "
                    f"removed, but {call.op.name} gives {shapes[0]}: its sizes are fixed in its forward"
                )
        if len(self.steps) != len(graph.calls) or self.numbers != _numbers(graph):
            raise CompressionError("the model computes something else once channels are removed from it")


def _left(axis: Array, removed: Array) -> int:
    return int((axis < 0).sum() + (~removed[axis[axis >= 0]]).sum())


def dependencies(model: Module, inputs: Inputs = None) -> Dependencies:
    """Which channels of a model must be removed together, found by following its ops on these inputs.

    `inputs`: what the model is called with, a tensor or several, by default its `example_input`. The model
    runs once, in evaluation mode. Each entry along an axis of a parameter is followed through all ops: what
    is added together, multiplied with each other or read by the same weights belongs together, also across
    residual additions, concatenation, and a flatten after convolutions. Heads go as a whole, and in a
    convolution with groups the same filter of each group. A channel that cannot be followed is fixed: one
    that the model is given or returns, one that an op picks by number or mixes with others, one that an op of
    unknown effect meets. Features over which a layer norm (or any mean) is taken are of kind "width": without
    some of them the statistics of the others change.

    Raises CompressionError for a model that cannot be traced, and one without any input to call it with.

    >>> from tinytorch.models import MLP
    >>> [(g.name, len(g), g.fixed) for g in dependencies(MLP((4, 8, 3))).groups]
    [('layers.0', 8, ''), ('layers.2', 3, 'the model returns it')]
    """
    graph = traced(model, inputs)
    tensors = dict(model._tensors("parameter", "buffer"))
    names = {id(tensor): name for name, tensor in reversed(tensors.items())}
    named = {v: names[id(tensor)] for v, tensor in graph.states.items() if id(tensor) in names}
    follow = Follow(graph, named)
    return _Collection(follow, named).collect(graph)


def given_to(model: Module, inputs: Inputs) -> tuple[Tensor, ...]:
    """What to call a model with; raises CompressionError where that is nothing."""
    found = model.example_input if inputs is None else inputs
    given = (found,) if isinstance(found, Tensor) else tuple(found or ())
    if not given:
        raise CompressionError(
            f"{type(model).__name__} has no example_input to follow. Give inputs that fit the model."
        )
    return given


def traced(model: Module, inputs: Inputs) -> Graph:
    """The graph of a model in evaluation mode."""
    given = given_to(model, inputs)
    with evaluating(model), no_grad():
        found = trace(model, given)
    if found.refusal:
        raise CompressionError(f"the ops of the model cannot be followed: {found.refusal}")
    return found.graph


@dataclass
class _Collection:
    """Makes channels and groups of what was followed."""

    follow: Follow
    named: Mapping[int, str]

    def collect(self, graph: Graph) -> Dependencies:
        """Number the sets of entries that weights make or read, and list where they are."""
        channels, axes = self.follow.channels, self.follow.axes
        places = [(v, axis, axes[v][axis]) for v in self.named for axis in range(len(axes[v]))]
        involved = [e[channels.roles[e] > 0] for _, _, e in places]
        sets = np.unique(channels.sets(np.concatenate([np.empty(0, np.int64), *involved])))
        self._number = np.full(len(channels.roles), -1, np.int64)
        self._number[sets] = np.arange(len(sets))
        uses = [
            Use(
                self.named[v],
                axis,
                self._channels(e),
                *(bool((channels.roles[e] & r).any()) for r in (MAKES, READS)),
            )
            for v, axis, e in places
        ]
        uses = [use for use in uses if (use.channels >= 0).any()]
        steps = [
            _Step(
                call.op.name,
                call.path,
                tuple(tuple(self._channels(axis) for axis in axes[v]) for v in call.outputs),
            )
            for call in graph.calls
        ]
        layers: list[dict[str, None]] = [{} for _ in sets]
        for made, path in self.follow.makers:
            for channel in np.unique(self._channels(made)).tolist():
                layers[channel].setdefault(path or ROOT)
        groups = self._groups(uses, sets, layers)
        return Dependencies(groups, tuple(uses), len(sets), tuple(steps), _numbers(graph))

    def _channels(self, entries: Array) -> Array:
        found: Array = self._number[self.follow.channels.sets(entries)]
        return found

    def _groups(self, uses: Sequence[Use], sets: Array, layers: Sequence[Iterable[str]]) -> tuple[Group, ...]:
        """Channels with the same signature: where they are, how often, and why they are fixed, if so."""
        signatures: list[list[Any]] = [[] for _ in sets]
        for number, use in enumerate(uses):
            ours, counts = np.unique(use.channels[use.channels >= 0], return_counts=True)
            for channel, times in zip(ours.tolist(), counts.tolist(), strict=True):
                signatures[channel].append((number, times))
        members: dict[Any, list[int]] = {}
        for channel, signature in enumerate(signatures):
            kind = self._kind(int(sets[channel]))
            reason = self.follow.channels.reason(int(sets[channel]))
            members.setdefault((tuple(signature), kind, reason), []).append(channel)
        found = []
        for (_, kind, reason), chosen in members.items():
            made = tuple(layers[chosen[0]])
            path, why = self.follow.channels.reasons[reason]
            name = self.follow.channels.places.get(int(sets[chosen[0]]), "") if kind == "heads" else ""
            fixed = f"{why} ({path})" if path else why
            if made:
                found.append(Group(name or made[0], kind, made, np.array(chosen), fixed))
        return tuple(found)

    def _kind(self, one: int) -> str:
        marks = self.follow.channels.marks(one)
        return KINDS[2] if marks & WIDTH else KINDS[1] if marks & HEADS else KINDS[0]


def _numbers(graph: Graph) -> tuple[float, ...]:
    return tuple(float(array.item()) for array in graph.constants.values() if array.size == 1)

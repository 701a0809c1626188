"""A loaded program as a model: its products, convolutions and lookups are layers, to be quantized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.acceleration.loaded import LoadedProgram
from tinytorch.errors import QuantizationError
from tinytorch.nn.conv import Conv2d
from tinytorch.nn.embedding import Embedding, Lookup
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops import conv, matmul
from tinytorch.ops.shape import Permute
from tinytorch.tensor import Tensor, from_numpy


@dataclass(frozen=True)
class _Layer:
    """A call that a layer computes: its input, the state that is its weight, and that of its bias."""

    x: int
    weight: int
    bias: int | None = None


class ProgramModel(Module):
    """The graph of a program, run call by call; calls with weights of their own are layers, by their path.

    Inputs have the shapes that the program was traced with. Raises QuantizationError for a program that
    updates states, as a training step does.
    """

    def __init__(self, program: LoadedProgram) -> None:
        super().__init__()
        graph = program.graph
        if graph.updates or any(call.op.mutates for call in graph.calls):
            raise QuantizationError("quantize: this program changes states; take one that only computes")
        self.calls, self.results, self.given = tuple(graph.calls), graph.outputs, graph.inputs
        self.held = {v: from_numpy(array) for v, array in graph.constants.items()}
        self.layers: dict[int, tuple[str, int]] = {}
        weights: dict[int, Tensor] = {}
        for at, call in enumerate(graph.calls):
            found = _layer_in(graph, call)
            if found is not None:
                weight = weights.setdefault(found.weight, Parameter(graph.states[found.weight]))
                name = self._free(call.path.replace(".", "_") or f"call{at}")
                setattr(self, name, _module(graph, call, found, weight))
                self.layers[at] = name, found.x
        for value, tensor in graph.states.items():
            self.held[value] = weights.get(value, tensor)
        spec = program.inputs[0] if program.inputs else None
        if spec is not None:
            self.example_input = from_numpy(np.zeros(spec.shape, spec.dtype))

    def _free(self, name: str) -> str:
        while name in self.__dict__:
            name += "_"
        return name

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the program gives."""
        values: dict[int, Any] = {**self.held, **dict(zip(self.given, inputs, strict=True))}
        for at, call in enumerate(self.calls):
            if at in self.layers:
                name, x = self.layers[at]
                values[call.outputs[0]] = getattr(self, name)(values[x])
            else:
                values.update(zip(call.outputs, call.op.all(*(values[v] for v in call.inputs)), strict=True))
        found = tuple(values[v] for v in self.results)
        return found[0] if len(found) == 1 else found


def _layer_in(graph: Graph, call: Call) -> _Layer | None:
    """The layer that a call is, if its weight is a state of float32, and its bias too."""
    if isinstance(call.op, matmul.Linear | conv.Conv2d):
        x, weight, *bias = call.inputs
        states = all(v in graph.states and graph.specs[v].dtype == np.float32 for v in (weight, *bias))
        return _Layer(x, weight, bias[0] if bias else None) if states else None
    if isinstance(call.op, Lookup):
        weight, ids = call.inputs
        plain = weight in graph.states and graph.specs[weight].dtype == np.float32
        return _Layer(ids, weight) if plain and graph.specs[weight].ndim == 2 else None
    if isinstance(call.op, matmul.MatMul):
        maker = graph.makers().get(call.inputs[1])
        turned = None if maker is None else graph.calls[maker]
        if turned is not None and isinstance(turned.op, Permute) and turned.op.order == (1, 0):
            weight = turned.inputs[0]
            if weight in graph.states and graph.specs[weight].dtype == np.float32:
                return _Layer(call.inputs[0], weight)
    return None


def _module(graph: Graph, call: Call, found: _Layer, weight: Tensor) -> Module:
    """A layer with this weight."""
    made: Linear | Conv2d | Embedding
    if isinstance(call.op, conv.Conv2d):
        (o, c, *kernel), op = weight.shape, call.op
        size = (kernel[0], kernel[1])
        made = Conv2d(c * op.groups, o, size, op.stride, op.padding, op.dilation, op.groups)
    elif isinstance(call.op, Lookup):
        made = Embedding(*weight.shape)
    else:
        made = Linear(weight.shape[1], weight.shape[0])
    made.weight = weight
    if not isinstance(made, Embedding):
        made.bias = None if found.bias is None else Parameter(graph.states[found.bias])
    return made

"""Names for the states of a graph: those that modules and optimizers have for their tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tinytorch.acceleration.fused import parts
from tinytorch.acceleration.graph import Graph
from tinytorch.nn.module import Module
from tinytorch.ops.random import Uniform
from tinytorch.optim.optimizer import Optimizer
from tinytorch.tensor import Tensor


def state_names(
    graph: Graph, modules: Iterable[Module], optimizers: Iterable[Optimizer] = ()
) -> dict[int, str]:
    """For the states of a graph that modules and optimizers hold, by number: `layers.0.weight`, `lr`.

    An optimizer's state of a parameter is called after both: `layers.0.weight.exp_avg`; what random numbers
    come from is `random`. Names begin with the class where there are several modules of which none is part
    of another. States that are not found are left out.

    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.autograd import no_grad
    >>> from tinytorch.models import MLP
    >>> model = MLP((2, 3))
    >>> with no_grad():
    ...     graph = trace(model, [Tensor([[1.0, 2.0]])]).graph
    >>> list(state_names(graph, [model]).values())
    ['layers.0.weight', 'layers.0.bias']
    """
    known: dict[int, str] = {}
    for name, tensor in [*_of_modules(list(modules))]:
        known.setdefault(id(tensor._array), name)
    for name, tensor in _of_optimizers(list(optimizers), known):
        known.setdefault(id(tensor._array), name)
    found = {v: known[id(t._array)] for v, t in graph.states.items() if id(t._array) in known}
    draws = (one for call in graph.calls for one in parts(call) if isinstance(one.op, Uniform))
    drawn = [v for v in dict.fromkeys(one.inputs[0] for one in draws) if v in graph.states]
    found.update({v: "random" if not i else f"random{i}" for i, v in enumerate(drawn) if v not in found})
    return found


def _of_modules(modules: list[Module]) -> Iterator[tuple[str, Tensor]]:
    inside = {id(child) for module in modules for _, child in module.named_children()}
    roots = [module for module in modules if id(module) not in inside]
    for number, root in enumerate(roots):
        prefix = f"{type(root).__name__.lower()}{number or ''}." if len(roots) > 1 else ""
        for name, tensor in (*root.named_parameters(), *root.named_buffers()):
            yield prefix + name, tensor


def _of_optimizers(optimizers: list[Optimizer], known: dict[int, str]) -> Iterator[tuple[str, Tensor]]:
    for number, optimizer in enumerate(optimizers):
        prefix = f"{type(optimizer).__name__.lower()}{number or ''}." if len(optimizers) > 1 else ""
        for i, group in enumerate(optimizer.param_groups):
            yield f"{prefix}groups.{i}.lr" if len(optimizer.param_groups) > 1 else f"{prefix}lr", group["lr"]
        for i, (parameter, state) in enumerate(optimizer.state.items()):
            name = known.get(id(parameter._array), f"{prefix}state.{i}")
            for key, tensor in state.items():
                yield f"{name}.{key}", tensor

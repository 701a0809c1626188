"""Schedule: a parameter is updated once nothing reads its old value, and its gradient is let go."""

from __future__ import annotations

from tinytorch.acceleration.graph import Call, Graph
from tinytorch.ops.index import Slice
from tinytorch.ops.shape import Layout


def update_early(graph: Graph) -> Graph:
    """The graph with calls that make a state's new value as early as they can stand.

    Such a call comes after what it reads and after every other reader of the states that it replaces.
    """
    becomes = {value: state for state, value in graph.updates.items()}
    makers, users = graph.makers(), graph.users()
    waiting: dict[int, set[int]] = {}
    for at, call in enumerate(graph.calls):
        states = [becomes[v] for v in call.made if v in becomes]
        if states:
            needs = {makers[v] for v in call.inputs if v in makers}
            needs |= {reader for state in states for reader in _readers(graph, users, state) if reader != at}
            if all(need < at for need in needs):
                waiting[at] = needs
    placed: set[int] = set()
    ordered: list[Call] = []

    def place(at: int) -> None:
        ordered.append(graph.calls[at])
        placed.add(at)
        for other in [w for w, needs in waiting.items() if needs <= placed]:
            if waiting.pop(other, None) is not None:
                place(other)

    for at in [w for w, needs in waiting.items() if not needs]:
        if waiting.pop(at, None) is not None:
            place(at)
    for at in range(len(graph.calls)):
        if at not in placed and at not in waiting:
            place(at)
    return graph.with_calls(ordered)


def _readers(graph: Graph, users: dict[int, list[int]], value: int) -> set[int]:
    """The positions of all calls that read a value, itself or through views."""
    found = set(users.get(value, ()))
    for at in list(found):
        if isinstance(graph.calls[at].op, Layout | Slice):
            for seen in graph.calls[at].outputs:
                found |= _readers(graph, users, seen)
    return found

"""Dead code: calls whose results nothing reads are left out."""

from __future__ import annotations

from tinytorch.acceleration.graph import Graph


def remove_dead(graph: Graph) -> Graph:
    """The graph without calls that neither an output nor a state rests on.

    Wanted are the results of the graph (`graph.results()`) and what the calls read that stay; a call stays
    if something that it makes (`call.made`) is wanted, in the order that they had. `graph.with_calls(calls)`
    gives the same graph with other calls, and leaves out what no call reads any more.

    >>> from tinytorch.acceleration.trace import trace
    >>> from tinytorch.tensor import Tensor
    >>> graph = trace(lambda x: (x.exp(), x.relu())[1], [Tensor([1.0])]).graph
    >>> len(graph.calls), len(remove_dead(graph).calls)
    (2, 1)
    """
    wanted = graph.results()
    calls = []
    for call in reversed(graph.calls):
        if wanted.intersection(call.made):
            calls.append(call)
            wanted.update(call.inputs)
    return graph.with_calls(calls[::-1])

"""remove_dead leaves the calls in the order in which it met them."""


def remove_dead(graph):
    wanted = graph.results()
    calls = []
    for call in reversed(graph.calls):
        if wanted.intersection(call.made):
            calls.append(call)
            wanted.update(call.inputs)
    return graph.with_calls(calls)

"""remove_dead wants outputs only, so that no state changes any more."""


def remove_dead(graph):
    wanted = set(graph.outputs)
    calls = []
    for call in reversed(graph.calls):
        if wanted.intersection(call.made):
            calls.insert(0, call)
            wanted.update(call.inputs)
    return graph.with_calls(calls)

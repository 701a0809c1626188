"""remove_dead looks at the first output of a call only."""


def remove_dead(graph):
    wanted = graph.results()
    calls = []
    for call in reversed(graph.calls):
        if call.made[0] in wanted:
            calls.insert(0, call)
            wanted.update(call.inputs)
    return graph.with_calls(calls)

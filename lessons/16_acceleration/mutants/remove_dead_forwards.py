"""remove_dead walks from the first call on: only calls of results stay, and what they read is gone."""


def remove_dead(graph):
    wanted = graph.results()
    calls = []
    for call in graph.calls:
        if wanted.intersection(call.made):
            calls.append(call)
            wanted.update(call.inputs)
    return graph.with_calls(calls)

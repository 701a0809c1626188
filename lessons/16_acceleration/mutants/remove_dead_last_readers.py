"""remove_dead asks once who reads: what only dead calls read stays."""


def remove_dead(graph):
    read = graph.results() | {v for call in graph.calls for v in call.inputs}
    return graph.with_calls([call for call in graph.calls if read.intersection(call.made)])

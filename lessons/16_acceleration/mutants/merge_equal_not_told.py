"""merge_equal leaves equal calls out and does not say what to read in their place."""


def merge_equal(graph):
    names, known, calls = equal_constants(graph), set(), []
    for call in graph.calls:
        call = replace(call, inputs=tuple(names.get(v, v) for v in call.inputs))
        key = type(call.op), describe(call.op), call.inputs
        if call.op.mutates or key not in known:
            known.add(key)
            calls.append(call)
    return graph.renamed(calls, names)

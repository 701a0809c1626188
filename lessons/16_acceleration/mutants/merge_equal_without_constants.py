"""merge_equal does not ask which constants are equal."""


def merge_equal(graph):
    names, known, calls = {}, {}, []
    for call in graph.calls:
        call = replace(call, inputs=tuple(names.get(v, v) for v in call.inputs))
        key = type(call.op), describe(call.op), call.inputs
        if not call.op.mutates and key in known:
            names.update(zip(call.outputs, known[key]))
        else:
            known[key] = call.outputs
            calls.append(call)
    return graph.renamed(calls, names)

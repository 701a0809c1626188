"""merge_equal compares inputs as they were: calls on results of equal calls stay."""


def merge_equal(graph):
    names, known, calls = equal_constants(graph), {}, []
    for call in graph.calls:
        key = type(call.op), describe(call.op), call.inputs
        if not call.op.mutates and key in known:
            names.update(zip(call.outputs, known[key]))
        else:
            known[key] = call.outputs
            calls.append(call)
    return graph.renamed(calls, names)

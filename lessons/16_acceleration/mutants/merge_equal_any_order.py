"""merge_equal takes operands in any order for the same: x - y becomes y - x."""


def merge_equal(graph):
    names, known, calls = equal_constants(graph), {}, []
    for call in graph.calls:
        call = replace(call, inputs=tuple(names.get(v, v) for v in call.inputs))
        key = type(call.op), describe(call.op), frozenset(call.inputs)
        if not call.op.mutates and key in known:
            names.update(zip(call.outputs, known[key]))
        else:
            known[key] = call.outputs
            calls.append(call)
    return graph.renamed(calls, names)

"""fused_call lets nothing leave but what the last member makes."""


def fused_call(chains, group):
    graph, inside = chains.graph, set(group.calls)
    members = [graph.calls[at] for at in group.calls]
    made = list(dict.fromkeys(v for call in members for v in call.made))
    inputs = tuple(dict.fromkeys(v for call in members for v in call.inputs if v not in made))
    results = tuple(members[-1].made)
    specs = {v: graph.specs[v] for v in (*inputs, *made)}
    path = members[0 if group.anchored else -1].path
    op = Fused(tuple(members), inputs, results, specs)
    return Call(op, inputs, results, (), path, any(call.backward for call in members))

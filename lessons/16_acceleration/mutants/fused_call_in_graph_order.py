"""fused_call puts the members in the order of the graph: the product no longer comes first."""


def fused_call(chains, group):
    graph, inside = chains.graph, set(group.calls)
    members = [graph.calls[at] for at in sorted(group.calls)]
    made = list(dict.fromkeys(v for call in members for v in call.made))
    inputs = tuple(dict.fromkeys(v for call in members for v in call.inputs if v not in made))
    results = tuple(v for v in made if v in chains.results or set(chains.readers(v)) - inside)
    specs = {v: graph.specs[v] for v in (*inputs, *made)}
    path = members[0 if group.anchored else -1].path
    op = Fused(tuple(members), inputs, results, specs)
    return Call(op, inputs, results, (), path, any(call.backward for call in members))

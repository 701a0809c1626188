"""integer_work looks at what is stored, not at what is multiplied."""


def integer_work(graph):
    whole = part = 0
    for call in products(graph):
        work = _work(graph, call)
        whole += work
        part += work if any(a.dtype.itemsize == 1 for _, a in _weights(graph, call)) else 0
    if not part:
        return None
    kinds = sorted({call.op.name for call in graph.calls if isinstance(call.op, INTEGER)})
    return _found("integer arithmetic", f"{part / whole:.0%} of the work of products, in {', '.join(kinds)}")

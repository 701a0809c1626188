"""integer_work says 100 % of whatever it finds."""


def integer_work(graph):
    whole = part = 0
    for call in products(graph):
        work = _work(graph, call)
        whole += work
        part += work if isinstance(call.op, INTEGER) else 0
    if not part:
        return None
    kinds = sorted({call.op.name for call in graph.calls if isinstance(call.op, INTEGER)})
    return _found("integer arithmetic", f"100% of the work of products, in {', '.join(kinds)}")

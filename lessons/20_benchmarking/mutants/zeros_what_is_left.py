"""zeros gives the share that is left."""


def zeros(graph):
    sparse = sorted({call.op.name for call in graph.calls if isinstance(call.op, SPARSE)})
    none = total = 0
    for array in _all_weights(graph):
        empty = array.size - int(np.count_nonzero(array))
        total += array.size
        none += empty if empty >= ZEROS * array.size else 0
    if sparse:
        return _found("pruned, sparse kernels", f"in {', '.join(sparse)}")
    if total and none / total >= ZEROS:
        return _found("pruned", f"{1 - none / total:.0%} of the weights are zeros")
    return None

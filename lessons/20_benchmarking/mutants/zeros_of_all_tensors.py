"""zeros counts zeros of tensors that have few."""


def zeros(graph):
    sparse = sorted({call.op.name for call in graph.calls if isinstance(call.op, SPARSE)})
    none = total = 0
    for array in _all_weights(graph):
        empty = array.size - int(np.count_nonzero(array))
        total += array.size
        none += empty if True else 0
    if sparse:
        return _found("pruned, sparse kernels", f"in {', '.join(sparse)}")
    if total and none / total >= ZEROS:
        return _found("pruned", f"{none / total:.0%} of the weights are zeros")
    return None

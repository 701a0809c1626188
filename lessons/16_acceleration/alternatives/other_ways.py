"""Other ways to the same: other loop orders, views, recursion, passes from the other end."""

import itertools


def blocked(a, b, tile=TILE):
    out = np.zeros((len(a), b.shape[1]), np.result_type(a, b))
    starts = [range(0, size, tile) for size in (b.shape[0], len(a), b.shape[1])]
    for k, i, j in itertools.product(*starts):
        rows, inner, columns = (slice(s, s + tile) for s in (i, k, j))
        out[rows, columns] += np.dot(a[rows, inner], b[inner, columns])
    return out


def im2col(x, kernel, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
    n, c = x.shape[:2]
    oh, ow = count_windows("im2col", x.shape[2:], kernel, stride, padding, dilation)
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0], padding[0]), (padding[1], padding[1])))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, -1, oh * ow).copy()


def in_blocks(kernel, inputs, outputs, block=BLOCK):
    first = outputs[0]
    rows = first.shape[0]
    step = max(block * rows // max(first.size, 1), 1)

    def cut(array, here):
        return array[here] if (array.ndim, array.shape[:1]) == (first.ndim, (rows,)) else array

    for here in (slice(i, min(i + step, rows)) for i in range(0, rows, step)):
        for k, made in enumerate(kernel(*(cut(array, here) for array in inputs))):
            outputs[k][here] = made


def remove_dead(graph):
    makers = graph.makers()
    needed, pending = set(), [v for v in graph.results()]
    while pending:
        at = makers.get(pending.pop())
        if at is not None and at not in needed:
            needed.add(at)
            pending.extend(graph.calls[at].inputs)
    return graph.with_calls([graph.calls[at] for at in sorted(needed)])


def merge_equal(graph):
    names = equal_constants(graph)
    first = {}

    def key(call):
        return type(call.op), repr(sorted(vars(call.op).items())), call.inputs

    kept = []
    for call in graph.calls:
        call = replace(call, inputs=tuple(names.get(v, v) for v in call.inputs))
        if not call.op.mutates and key(call) in first:
            names |= dict(zip(call.outputs, first[key(call)]))
            continue
        if not call.op.mutates:
            first[key(call)] = call.outputs
        kept.append(call)
    return graph.renamed(kept, names)


def fused_call(chains, group):
    calls = chains.graph.calls
    members = tuple(calls[at] for at in group.calls)
    made = {value: None for call in members for value in call.made}
    reads = {value: None for call in members for value in call.inputs}
    inputs = tuple(value for value in reads if value not in made)

    def leaves(value):
        return value in chains.results or any(at not in group.calls for at in chains.readers(value))

    results = tuple(filter(leaves, made))
    specs = {value: chains.graph.specs[value] for value in {**reads, **made}}
    return Call(
        op=Fused(calls=members, inputs=inputs, results=results, specs=specs),
        inputs=inputs,
        outputs=results,
        path=(members[0] if group.anchored else members[-1]).path,
        backward=any([call.backward for call in members]),
    )


def may_wait(chains, members, at):
    calls = chains.graph.calls

    def is_free(value):
        for reader in chains.readers(value):
            if reader < at and reader not in members:
                if not is_view(calls[reader]) or not all(is_free(v) for v in calls[reader].outputs):
                    return False
        return True

    return all(is_free(value) for member in members for value in calls[member].made)


def can_join(chains, group, other):
    mine, its = set(group.calls), set(other.calls)

    def read_by_product(one):
        product = chains.graph.calls[one.calls[0]]
        return {chains.maker(value) for value in product.inputs} if one.anchored else set()

    return (
        not (group.closed or other.closed)
        and group.shape == other.shape
        and not mine & its
        and not (group.anchored and other.anchored)
        and not read_by_product(group) & its
        and not read_by_product(other) & mine
        and not sees_itself(chains, mine | its)
        and may_wait(chains, mine | its, max(its))
    )


def join(chains, groups, at):
    graph = chains.graph
    makers = [chains.maker(value) for value in graph.calls[at].inputs]
    candidates = [groups[maker] for maker in makers if maker in groups]
    joined = Group(graph.specs[graph.calls[at].outputs[0]].shape, (at,))
    while candidates:
        candidate = candidates.pop(0)
        joined = united(candidate, joined) if can_join(chains, candidate, joined) else joined
    return joined


def overlap(a, b):
    return max(a.first, b.first) <= min(a.last, b.last)


def best_gap(taken, size):
    ends = [0, *itertools.accumulate((after for _, after in taken), max)]
    gaps = [(begin - end, end) for (begin, _), end in zip(taken, ends)]
    return min((gap for gap in gaps if gap[0] >= size), default=(0, ends[-1]))[1]


def place_buffers(lives):
    blocks = []
    for number, life in sorted(enumerate(lives), key=lambda each: (-each[1].nbytes, each[1].first)):
        near = sorted((begin, end) for begin, end, other in blocks if overlap(lives[other], life))
        begin = best_gap(near, rounded(life.nbytes))
        blocks.append((begin, begin + rounded(life.nbytes), number))
    offsets = [begin for begin, _, _ in sorted(blocks, key=lambda block: block[2])]
    return offsets, max((end for _, end, _ in blocks), default=0)

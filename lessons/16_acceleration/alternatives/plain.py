"""Everything spelled out: index arithmetic, plain loops, lists and sets built by hand."""


def blocked(a, b, tile=TILE):
    n, depth = a.shape
    m = b.shape[1]
    out = np.zeros((n, m), dtype=a.dtype)
    top = 0
    while top < n:
        bottom = min(top + tile, n)
        for k in range(0, depth, tile):
            end = min(k + tile, depth)
            left = a[top:bottom, k:end]
            for j in range(0, m, tile):
                stop = min(j + tile, m)
                out[top:bottom, j:stop] = out[top:bottom, j:stop] + np.matmul(left, b[k:end, j:stop])
        top = bottom
    return out


def im2col(x, kernel, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
    n, c, height, width = x.shape
    oh, ow = count_windows("im2col", (height, width), kernel, stride, padding, dilation)
    kh, kw = kernel
    padded = np.zeros((n, c, height + 2 * padding[0], width + 2 * padding[1]), x.dtype)
    padded[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width] = x
    out = np.empty((n, c * kh * kw, oh * ow), x.dtype)
    for channel in range(c):
        for u in range(kh):
            for v in range(kw):
                for y in range(oh):
                    for z in range(ow):
                        row, column = y * stride[0] + u * dilation[0], z * stride[1] + v * dilation[1]
                        out[:, (channel * kh + u) * kw + v, y * ow + z] = padded[:, channel, row, column]
    return out


def in_blocks(kernel, inputs, outputs, block=BLOCK):
    shape = outputs[0].shape
    rows, width = shape[0], 1
    for size in shape[1:]:
        width *= size
    step = block // width if width else 1
    if step < 1:
        step = 1
    start = 0
    while start < rows:
        end = min(start + step, rows)
        pieces = []
        for array in inputs:
            whole = array.ndim < len(shape) or array.shape[0] != rows
            pieces.append(array if whole else array[start:end])
        made = kernel(*pieces)
        for number in range(len(outputs)):
            outputs[number][start:end] = made[number]
        start = end


def remove_dead(graph):
    keep = [False] * len(graph.calls)
    wanted = set(graph.outputs) | set(graph.updates.values())
    for at in range(len(graph.calls) - 1, -1, -1):
        for value in graph.calls[at].made:
            if value in wanted:
                keep[at] = True
        if keep[at]:
            wanted |= set(graph.calls[at].inputs)
    return graph.with_calls([call for at, call in enumerate(graph.calls) if keep[at]])


def merge_equal(graph):
    instead = dict(equal_constants(graph))
    kept = []
    for call in graph.calls:
        inputs = tuple(instead[v] if v in instead else v for v in call.inputs)
        call = replace(call, inputs=inputs)
        twin = None
        if not call.op.mutates:
            for other in kept:
                same = type(other.op) is type(call.op) and other.inputs == inputs
                if same and describe(other.op) == describe(call.op) and not other.op.mutates:
                    twin = other
                    break
        if twin is None:
            kept.append(call)
        else:
            for mine, its in zip(call.outputs, twin.outputs):
                instead[mine] = its
    return graph.renamed(kept, instead)


def fused_call(chains, group):
    members, made, inputs, results, specs = [], [], [], [], {}
    backward = False
    for at in group.calls:
        call = chains.graph.calls[at]
        members.append(call)
        backward = backward or call.backward
        for value in call.made:
            if value not in made:
                made.append(value)
    for call in members:
        for value in call.inputs:
            if value not in made and value not in inputs:
                inputs.append(value)
    for value in made:
        outside = [reader for reader in chains.readers(value) if reader not in group.calls]
        if outside or value in chains.results:
            results.append(value)
    for value in inputs + made:
        specs[value] = chains.graph.specs[value]
    path = members[-1].path
    if group.anchored:
        path = members[0].path
    inputs, results = tuple(inputs), tuple(results)
    return Call(Fused(tuple(members), inputs, results, specs), inputs, results, (), path, backward)


def may_wait(chains, members, at):
    calls = chains.graph.calls
    missing = set()
    for member in members:
        missing.update(calls[member].made)
    for position in range(at):
        if position in members:
            continue
        if not missing.isdisjoint(calls[position].inputs):
            if is_view(calls[position]):
                missing.update(calls[position].made)
            else:
                return False
    return True


def can_join(chains, group, other):
    if group.closed or other.closed:
        return False
    if group.shape != other.shape:
        return False
    for at in group.calls:
        if at in other.calls:
            return False
    if group.anchored and other.anchored:
        return False
    if group.anchored:
        for value in chains.graph.calls[group.calls[0]].inputs:
            if chains.maker(value) in other.calls:
                return False
    if other.anchored:
        for value in chains.graph.calls[other.calls[0]].inputs:
            if chains.maker(value) in group.calls:
                return False
    both = set(group.calls) | set(other.calls)
    if not may_wait(chains, both, other.calls[-1]):
        return False
    return not sees_itself(chains, both)


def join(chains, groups, at):
    call = chains.graph.calls[at]
    shape = chains.graph.specs[call.outputs[0]].shape
    mine = Group(shape=shape, calls=(at,), anchored=False, closed=False)
    seen = []
    for value in call.inputs:
        maker = chains.maker(value)
        if maker == -1 or maker not in groups or groups[maker] in seen:
            continue
        seen.append(groups[maker])
        if can_join(chains, groups[maker], mine):
            mine = united(groups[maker], mine)
    return mine


def overlap(a, b):
    return not (a.last < b.first or b.last < a.first)


def best_gap(taken, size):
    gaps = []
    end = 0
    for begin, after in taken:
        if begin - end >= size:
            gaps.append((begin - end, end))
        if after > end:
            end = after
    if not gaps:
        return end
    return min(gaps)[1]


def place_buffers(lives):
    order = list(range(len(lives)))
    order.sort(key=lambda i: lives[i].first)
    order.sort(key=lambda i: lives[i].nbytes, reverse=True)
    places = {}
    for number in order:
        taken = []
        for other, begin in places.items():
            if overlap(lives[other], lives[number]):
                taken.append((begin, begin + rounded(lives[other].nbytes)))
        taken.sort()
        places[number] = best_gap(taken, rounded(lives[number].nbytes))
    total = 0
    for number, begin in places.items():
        total = max(total, begin + rounded(lives[number].nbytes))
    return [places[i] for i in range(len(lives))], total

"""Answers by NumPy: masks, matrices of comparisons, sums over arrays."""


def latencies(event, rounds, second):
    which = "second_queries" if second else "first_queries"

    def of(part, q):
        times = np.concatenate([getattr(one, which) for one in rounds if one.part == part])
        at = statistics.quantile(times, q)
        return Interval(at.value, at.low, at.high)

    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    return {f"{part} {name}": of(part, q) for part in event.parts for name, q in shares.items()}


def paired_ratio(a, b):
    if len(a) != len(b):
        raise ProfilingError(f"{len(a)} and {len(b)} times")
    return RatioTest(*_trimmed(np.subtract(_logs(a, "a"), _logs(b, "b"))))


def race(first, second, rounds, part, process, swap=False):
    count = burst_size([first, second])
    lanes = [first, second]
    for which in (0, 1, 1, 0):
        lanes[which].burst(count)
    for number in range(rounds):
        begins = int(bool(swap) != bool(number % 2))
        times = [[], []]
        for which in (begins, 1 - begins, 1 - begins, begins):
            times[which].extend(lanes[which].burst(count))
        for one, found in zip(lanes, times):
            one.rounds += [float(np.median(np.array(found))) / 1e9]
            one.queries.extend(found)
    return Rounds(
        part=part,
        process=process,
        first=tuple(first.rounds),
        second=tuple(second.rounds),
        first_queries=_some(first.queries),
        second_queries=_some(second.queries),
    )


def passes_gate(event, quality, baseline):
    sign = 1 if event.kind == "images" else -1
    return bool(sign * quality >= sign * event.gate * baseline)


def transform_gap(event, entry, baseline):
    found = [accuracy_ratio(event, plain, changed) for plain, changed in (entry, baseline)]
    log = found[0].log - found[1].log
    return Ratio(log, math.sqrt(sum(one.error**2 for one in found)), min(one.freedom for one in found))


def knows_by_heart(gap):
    ends = gap.estimate()
    if ends.low is None:
        return False
    return math.log(ends.value) > GAP and ends.low > math.exp(GAP_SURE)


def geometric_mean(ratios):
    if len(ratios) == 0:
        raise BenchmarkError("no ratios")
    logs = np.array([one.log for one in ratios])
    squares = np.array([one.error for one in ratios]) ** 2 / len(ratios) ** 2
    freedoms = np.array([one.freedom for one in ratios])
    total = squares.sum()
    freedom = total**2 / (squares**2 / freedoms).sum() if total else EXACT
    return Ratio(float(logs.mean()), float(np.sqrt(total)), float(freedom))


def integer_work(graph):
    calls = list(products(graph))
    work = np.array([_work(graph, call) for call in calls], float)
    mine = np.array([isinstance(call.op, INTEGER) for call in calls], bool)
    if not work[mine].sum():
        return None
    names = ", ".join(sorted({call.op.name for call, own in zip(calls, mine) if own}))
    return _found("integer arithmetic", f"{work[mine].sum() / work.sum():.0%} of all products: {names}")


def zeros(graph):
    kernels = {call.op.name for call in graph.calls if isinstance(call.op, SPARSE)}
    if kernels:
        return _found("pruned, sparse kernels", " and ".join(sorted(kernels)))
    arrays = _all_weights(graph)
    counts = [int((array == 0).sum()) for array in arrays]
    kept = sum(count for count, array in zip(counts, arrays) if count / array.size >= ZEROS)
    total = sum(array.size for array in arrays)
    if not total or kept / total < ZEROS:
        return None
    return _found("pruned", f"{kept / total:.0%} zeros, multiplied all the same")


def front(points):
    import numpy as np

    if not len(points):
        return ()
    p = np.array(points, float)
    nowhere_worse = (p[:, None, :] <= p[None, :, :]).all(2)
    somewhere_better = (p[:, None, :] < p[None, :, :]).any(2)
    return tuple(np.flatnonzero(~(nowhere_worse & somewhere_better).any(0)).tolist())


def ranks(order, apart):
    order = list(order)
    found = []
    for j, worse in enumerate(order):
        behind = [i + 1 for i in range(j) if (order[i], worse) in apart]
        before = found[-1] - 1 if found else 0
        found.append(max([before, *behind]) + 1)
    return found


def allowance(attempt, total=0.01):
    if attempt <= 0:
        raise BenchmarkError(f"attempt {attempt}")
    share = 6 / math.pi**2
    return share * total / attempt / attempt

"""Answers step by step: plain loops, early returns, running values."""


def latencies(event, rounds, second):
    found = {}
    for part in event.parts:
        times = []
        for one in rounds:
            if one.part != part:
                continue
            if second:
                times.extend(one.second_queries)
            else:
                times.extend(one.first_queries)
        for percent in (50, 90, 99):
            at = statistics.quantile(times, percent / 100)
            found[f"{part} p{percent}"] = Interval(value=at.value, low=at.low, high=at.high)
    return found


def paired_ratio(a, b):
    logs_a, logs_b = _logs(a, "ratio"), _logs(b, "ratio")
    if logs_a.shape != logs_b.shape:
        raise ProfilingError("one time of each in a round")
    centre, error, freedom = _trimmed(logs_a - logs_b)
    return RatioTest(centre, error, freedom)


def race(first, second, rounds, part, process, swap=False):
    count = burst_size([first, second])
    second.burst(count)
    first.burst(count)
    first.burst(count)
    second.burst(count)
    begins, follows = (second, first) if swap else (first, second)
    for _ in range(rounds):
        outer = begins.burst(count)
        inner = follows.burst(count)
        inner += follows.burst(count)
        outer += begins.burst(count)
        for one, found in ((begins, outer), (follows, inner)):
            one.rounds.append(float(np.median(found)) * 1e-9)
            one.queries.extend(found)
        begins, follows = follows, begins
    queries = _some(first.queries), _some(second.queries)
    return Rounds(part, process, tuple(first.rounds), tuple(second.rounds), *queries)


def passes_gate(event, quality, baseline):
    needed = baseline * event.gate
    if event.kind == "text":
        return quality <= needed
    return quality >= needed


def transform_gap(event, entry, baseline):
    plain, changed = entry
    own = accuracy_ratio(event, plain, changed)
    plain, changed = baseline
    usual = accuracy_ratio(event, plain, changed)
    variance = own.error**2 + usual.error**2
    freedom = own.freedom if own.freedom < usual.freedom else usual.freedom
    return Ratio(own.log + usual.inverse().log, variance**0.5, freedom)


def knows_by_heart(gap):
    if gap.log <= GAP:
        return False
    low = gap.estimate().low
    if low is None:
        return False
    return math.log(low) > GAP_SURE


def geometric_mean(ratios):
    ratios = list(ratios)
    if not ratios:
        raise BenchmarkError("nothing to average")
    n, log, variance, parts = len(ratios), 0.0, 0.0, 0.0
    for one in ratios:
        log += one.log / n
        own = (one.error / n) ** 2
        variance += own
        parts += own * own / one.freedom
    freedom = EXACT
    if parts > 0:
        freedom = variance * variance / parts
    return Ratio(log, math.sqrt(variance), freedom)


def integer_work(graph):
    integers, others, names = 0, 0, []
    for call in products(graph):
        if isinstance(call.op, INTEGER):
            integers += _work(graph, call)
            if call.op.name not in names:
                names.append(call.op.name)
        else:
            others += _work(graph, call)
    if integers == 0:
        return None
    share = integers / (integers + others)
    return _found("integer arithmetic", f"{share:.0%}: " + ", ".join(sorted(names)))


def zeros(graph):
    names = []
    for call in graph.calls:
        if isinstance(call.op, SPARSE) and call.op.name not in names:
            names.append(call.op.name)
    if names:
        return _found("pruned, sparse kernels", ", ".join(sorted(names)))
    zero, total = 0, 0
    for array in _all_weights(graph):
        total += array.size
        here = array.size - np.count_nonzero(array)
        if here / array.size >= ZEROS:
            zero += int(here)
    if total == 0 or zero < ZEROS * total:
        return None
    return _found("pruned", f"{zero / total:.0%} are zeros under dense kernels")


def front(points):
    found = []
    for number, point in enumerate(points):
        beaten = False
        for other in points:
            pairs = list(zip(other, point))
            if all(a <= b for a, b in pairs) and any(a < b for a, b in pairs):
                beaten = True
                break
        if not beaten:
            found.append(number)
    return tuple(found)


def ranks(order, apart):
    found = [1] * len(order)
    for better, worse in apart:
        if better not in order or worse not in order:
            continue
        i, j = list(order).index(better), list(order).index(worse)
        if i < j:
            found[j] = max(found[j], i + 2)
    for j in range(1, len(found)):
        found[j] = max(found[j], found[j - 1])
    return found


def allowance(attempt, total=0.01):
    if attempt < 1:
        raise BenchmarkError("attempts are counted from 1")
    whole = math.pi * math.pi / 6
    return total / (whole * attempt**2)

"""The same by other means: NumPy, sorted readings, searches in tables."""


class Stopwatch:
    def time(self, call):
        readings = [self.cpu_clock(), self.wall_clock()]
        result = call()
        readings += [self.wall_clock(), self.cpu_clock()]
        cpu, start, end, cpu_end = readings
        self.samples += [NS * (end - start)]
        self.cpu += [NS * (cpu_end - cpu)]
        return result


def calls_needed(loop, least):
    tried = 1
    shortest = sorted(loop(repeat(None, tried)) for _ in range(3))[0] * 1e-9
    while max(shortest, resolution()) < least:
        shortest = max(shortest, resolution())
        tried = min(max(math.ceil(least * tried / shortest), tried + 1), tried * 10)
        shortest = sorted(loop(repeat(None, tried)) for _ in range(3))[0] * 1e-9
    return tried, max(shortest, resolution()) / tried


def timed_runs(loop, warmup, runs, inner=None, collector="off"):
    watch = Stopwatch()
    with collector_policy(collector):
        found = warm_up(loop, warmup, calibrated=inner is None and runs != 1)[0]
        number = found if inner is None else inner
        for _ in [None] * runs:
            _ = gc.collect() if collector == "collect" else 0
            watch.loop(loop, number)
    return watch, number


def order_ranks(size, q, confidence=0.95):
    from scipy.stats import binom

    below = binom.cdf(np.arange(size + 1), size, q)
    tail = (1 - confidence) / 2
    return int((below < tail).sum()), int((below < 1 - tail).sum()) + 1


def measure_call(call, table, at=0):
    settle()
    tracemalloc.reset_peak()
    table[at] = tracemalloc.get_traced_memory()[0]
    result = [call()]
    table[at + 1] = tracemalloc.get_traced_memory()[1]
    table[at + 2] = tracemalloc.get_traced_memory()[0]
    result.clear()
    settle()
    table[at + 3] = tracemalloc.get_traced_memory()[0]


def pattern_of(levels, need, held):
    spiky = need >= SPIKE_BYTES and need >= SPIKE_SHARE * levels[0] and need >= SPIKE * held
    return ("growing" if grows(levels) else None) or ("spiky" if spiky else "steady")


class Formulas:
    def count_linear(self, in_features, out_features, batch_size=1, bias=True):
        _check("count_linear", batch_size=batch_size, out_features=out_features, in_features=in_features)
        x, w, y = batch_size * in_features, out_features * in_features, batch_size * out_features
        others = {}
        moved = x + w + y
        if bias:
            others["bias"] = y
            moved += out_features
        return self._made({"products": 2 * x * out_features}, others, moved)


def cost_of(event, causal=False):
    specs = [Spec(t.shape, t.dtype) for t in (*event.outputs, *event.inputs)]
    outputs = event.op.outputs
    given = specs if outputs == 1 else [tuple(specs[:outputs]), *specs[outputs:]]
    seen, pairs = event.op.visible(*given) if causal else (1, 1)
    flops = event.op.flops(*given)
    products = event.op.matmul_flops(*given)
    part = [None if work is None else work * seen // (pairs or 1) for work in (flops, products)]
    return OpCost(part[0], part[1], event.op.bytes(*given))


class Pass:
    def self_times(self):
        keys = [Key(r.path, r.op.name, r.backward) for r in self.records]
        freed = [self.start, *(r.done for r in self.records)]
        seen = [*(r.seen for r in self.records), self.end]
        whole, kernels = {}, {}
        for key, begin, end in zip([*keys, Key("", "", False)], freed, seen, strict=True):
            whole.setdefault(key, []).append(end - begin)
        for key, r in zip(keys, self.records, strict=True):
            kernels.setdefault(key, []).append(r.end - r.start)
        return {k: sum(v) * NS for k, v in whole.items()}, {k: sum(v) * NS for k, v in kernels.items()}


class ProfilerContext:
    def profile_function(self, function, args=None, kwargs=None):
        found = profile_subject(subject_of(function, args=args, kwargs=kwargs), self.settings)
        name = found[0].name if self.name == "" else self.name
        self.profiles += [replace(found[0], name=name)]
        return found[1]


def amdahl(share, factor):
    if not factor > 0:
        raise ProfilingError(f"amdahl: a part cannot run {factor} times as fast")
    shares = np.array([np.nan if s is None else s for s in (share.value, share.low, share.high)], float)
    rest = 1 - np.clip(shares, 0, 1) * (1 - 1 / factor)
    with np.errstate(divide="ignore"):
        gains = np.where(rest > 1e-12, 1 / rest, np.where(np.isnan(rest), np.nan, np.inf))
    ends = [gains[1], gains[2]] if factor >= 1 else [gains[2], gains[1]]
    low = None if np.isnan(ends[0]) else float(ends[0])
    high = None if not np.isfinite(ends[1]) else float(ends[1])
    return Estimate(float(gains[0]), low, high)


def shares_of(one, inside):
    from tinytorch.profiling.tree import ancestors

    times, _ = one.self_times()
    whole = sum(times.values())
    core = [seconds for key, seconds in times.items() if key.op == OP]
    module = [seconds for key, seconds in times.items() if not set(inside).isdisjoint(ancestors(key.path))]
    return sum(core) / whole, sum(module) / whole

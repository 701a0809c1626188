"""Everything spelled out: plain loops, and probabilities added up."""

import math


class Stopwatch:
    def time(self, call):
        wall, cpu = self.wall_clock, self.cpu_clock
        cpu_start, wall_start = cpu(), wall()
        result = call()
        wall_end = wall()
        cpu_end = cpu()
        self.samples.append((wall_end - wall_start) / 1e9)
        self.cpu.append((cpu_end - cpu_start) / 1e9)
        return result


def calls_needed(loop, least):
    number = 1
    while True:
        readings = []
        for _ in range(3):
            readings.append(loop(repeat(None, number)))
        run = max(min(readings) / 1e9, resolution())
        if run >= least:
            return number, run / number
        wanted = math.ceil(least / run * number)
        if wanted > 10 * number:
            wanted = 10 * number
        if wanted <= number:
            wanted = number + 1
        number = wanted


def timed_runs(loop, warmup, runs, inner=None, collector="off"):
    with collector_policy(collector):
        if inner is not None:
            for _ in range(warmup):
                loop(repeat(None, 1))
            number = inner
        elif warmup == 0 or runs == 1:
            for _ in range(warmup):
                loop(repeat(None, 1))
            number = 1
        else:
            number = warm_up(loop, warmup)[0]
        watch = Stopwatch()
        left = runs
        while left:
            if collector == "collect":
                gc.collect()
            watch.loop(loop, number)
            left -= 1
    return watch, number


def order_ranks(size, q, confidence=0.95):
    tail = (1 - confidence) / 2
    total, lower, upper = 0.0, None, size
    for k in range(size + 1):
        total += math.comb(size, k) * q**k * (1 - q) ** (size - k)
        if lower is None and total >= tail:
            lower = k
        if total >= 1 - tail:
            upper = k
            break
    return lower, upper + 1


def measure_call(call, table, at=0):
    settle()
    before, _ = tracemalloc.get_traced_memory()
    table[at] = before
    tracemalloc.reset_peak()
    kept = call()
    now, peak = tracemalloc.get_traced_memory()
    table[at + 1] = peak
    table[at + 2] = now
    del kept
    settle()
    rest, _ = tracemalloc.get_traced_memory()
    table[at + 3] = rest


def pattern_of(levels, need, held):
    if grows(levels) is True:
        return "growing"
    if need < 64 * 1024 or need < 0.1 * float(levels[0]):
        return "steady"
    if need < 2 * held:
        return "steady"
    return "spiky"


class Formulas:
    def count_linear(self, in_features, out_features, batch_size=1, bias=True):
        for name, size in (
            ("in_features", in_features),
            ("out_features", out_features),
            ("batch_size", batch_size),
        ):
            if type(size) is not int or size < 0:
                raise ProfilingError(f"count_linear: {name} is {size!r}")
        macs = batch_size * in_features * out_features
        parts = {"products": 2 * macs}
        if bias and self.convention == "all":
            parts["bias"] = batch_size * out_features
        elements = batch_size * (in_features + out_features) + in_features * out_features
        if bias:
            elements += out_features
        return Count(sum(parts.values()), macs, elements * self.dtype.itemsize, parts)


def cost_of(event, causal=False):
    op = event.op
    inputs = [Spec(t.shape, t.dtype) for t in event.inputs]
    outputs = [Spec(t.shape, t.dtype) for t in event.outputs]
    out = tuple(outputs) if op.outputs > 1 else outputs[0]
    flops = op.flops(out, *inputs)
    matmul = op.matmul_flops(out, *inputs)
    if causal:
        seen, pairs = op.visible(out, *inputs)
        pairs = pairs or 1
        matmul = matmul * seen // pairs
        if flops is not None:
            flops = flops * seen // pairs
    return OpCost(flops=flops, matmul_flops=matmul, bytes=op.bytes(out, *inputs))


class Pass:
    def self_times(self):
        whole, kernels = {}, {}
        before = self.start
        for record in self.records:
            key = Key(record.path, record.op.name, record.backward)
            whole[key] = whole.get(key, 0) + (record.seen - before) / 1e9
            kernels[key] = kernels.get(key, 0) + (record.end - record.start) / 1e9
            before = record.done
        root = Key("", "", False)
        whole[root] = whole.get(root, 0) + (self.end - before) / 1e9
        return whole, kernels


class ProfilerContext:
    def profile_function(self, function, args=None, kwargs=None):
        subject = subject_of(function, args, kwargs)
        profile, result = profile_subject(subject, self.settings)
        if self.name:
            profile = replace(profile, name=self.name)
        self.profiles.append(profile)
        return result


def amdahl(share, factor):
    if factor <= 0:
        raise ProfilingError(f"amdahl: factor {factor} is not above 0")
    found = []
    for part in (share.value, share.low, share.high):
        if part is None:
            found.append(None)
            continue
        part = 0.0 if part < 0 else 1.0 if part > 1 else part
        left = (1 - part) + part / factor
        found.append(math.inf if left <= 1e-12 else 1 / left)
    value, low, high = found
    if factor < 1:
        low, high = high, low
    if high is not None and math.isinf(high):
        high = None
    return Estimate(value, low, high)


def shares_of(one, inside):
    times = one.self_times()[0]
    whole = core = module = 0.0
    for key, seconds in times.items():
        whole += seconds
        if key.op == "attention":
            core += seconds
        if any(key.path == path or key.path.startswith(path + ".") for path in inside):
            module += seconds
    return core / whole, module / whole

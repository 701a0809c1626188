"""timed_runs leaves the garbage collector on."""


def timed_runs(loop, warmup, runs, inner=None, collector="off"):
    clock = Stopwatch()
    calls, _ = warm_up(loop, warmup, inner is None and runs > 1)
    calls = inner or calls
    for _ in range(runs):
        if collector == "collect":
            gc.collect()
        clock.loop(loop, calls)
    return clock, calls

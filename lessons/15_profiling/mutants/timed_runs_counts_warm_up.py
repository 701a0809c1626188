"""timed_runs makes the warm-up calls with the stopwatch that it returns."""


def timed_runs(loop, warmup, runs, inner=None, collector="off"):
    clock = Stopwatch()
    with collector_policy(collector):
        for _ in range(warmup):
            clock.loop(loop, 1)
        calls = inner or (calls_needed(loop, LEAST * resolution())[0] if warmup and runs > 1 else 1)
        for _ in range(runs):
            if collector == "collect":
                gc.collect()
            clock.loop(loop, calls)
    return clock, calls

"""timed_runs does not collect garbage before each run where it should."""


def timed_runs(loop, warmup, runs, inner=None, collector="off"):
    clock = Stopwatch()
    with collector_policy(collector):
        calls, _ = warm_up(loop, warmup, inner is None and runs > 1)
        calls = inner or calls
        for _ in range(runs):
            clock.loop(loop, calls)
    return clock, calls

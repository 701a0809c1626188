"""timed_runs looks for a number of calls even if one run was asked for, and so calls more often."""


def timed_runs(loop, warmup, runs, inner=None, collector="off"):
    clock = Stopwatch()
    with collector_policy(collector):
        calls, _ = warm_up(loop, warmup, inner is None)
        calls = inner or calls
        for _ in range(runs):
            if collector == "collect":
                gc.collect()
            clock.loop(loop, calls)
    return clock, calls

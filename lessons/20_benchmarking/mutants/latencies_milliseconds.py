"""latencies gives milliseconds."""


def latencies(event, rounds, second):
    found = {}
    for part in event.parts:
        runs = [one for one in rounds if one.part == part]
        times = [t for run in runs for t in (run.second_queries if second else run.first_queries)]
        for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
            at = statistics.quantile([1e3 * t for t in times], q)
            found[f"{part} {name}"] = Interval(at.value, at.low, at.high)
    return found

"""latencies averages what the processes give, each by itself."""


def latencies(event, rounds, second):
    found = {}
    for part in event.parts:
        runs = [one for one in rounds if one.part == part]
        for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
            each = [statistics.quantile(r.second_queries if second else r.first_queries, q) for r in runs]
            ends = [[getattr(at, end) for at in each] for end in ("value", "low", "high")]
            means = [None if None in end else float(np.mean(end)) for end in ends]
            found[f"{part} {name}"] = Interval(*means)
    return found

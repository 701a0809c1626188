"""paired_ratio lets a single interruption count in full."""


def paired_ratio(a, b):
    times, others = _logs(a, "ratio"), _logs(b, "ratio")
    if times.size != others.size:
        raise ProfilingError("different numbers")
    logs = times - others
    return RatioTest(float(logs.mean()), float(logs.std(ddof=1)) / math.sqrt(len(logs)), len(logs) - 1.0)

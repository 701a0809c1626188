"""paired_ratio gives b over a."""


def paired_ratio(a, b):
    times, others = _logs(a, "ratio"), _logs(b, "ratio")
    if times.size != others.size:
        raise ProfilingError("different numbers")
    return RatioTest(*_trimmed(others - times))

"""paired_ratio leaves out what has no partner."""


def paired_ratio(a, b):
    times, others = _logs(a, "ratio"), _logs(b, "ratio")
    n = min(times.size, others.size)
    return RatioTest(*_trimmed(times[:n] - others[:n]))

"""paired_ratio averages differences of times."""


def paired_ratio(a, b):
    times, others = np.asarray(a), np.asarray(b)
    _logs(a, "ratio"), _logs(b, "ratio")
    if times.size != others.size:
        raise ProfilingError("different numbers")
    return RatioTest(*_trimmed(times - others))

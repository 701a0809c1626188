"""paired_ratio compares two means as if the times were of different rounds."""


def paired_ratio(a, b):
    times, others = _logs(a, "ratio"), _logs(b, "ratio")
    if times.size != others.size:
        raise ProfilingError("different numbers")
    return ratio(a, b)

"""amdahl gives the factor of the part as that of the whole, times its share."""


def amdahl(share, factor):
    if not factor > 0:
        raise ProfilingError(f"amdahl: a factor of {factor}")
    ends = [
        1 + end * (factor - 1) if end is not None else None for end in (share.value, share.low, share.high)
    ]
    return Estimate(*ends)

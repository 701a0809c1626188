"""amdahl leaves the ends of the interval in the share's order even where the part becomes slower."""


def amdahl(share, factor):
    if not factor > 0:
        raise ProfilingError(f"amdahl: a factor of {factor}")

    def whole(part):
        if part is None:
            return None
        rest = 1 - min(max(part, 0.0), 1.0) * (1 - 1 / factor)
        return 1 / rest if rest > 1e-12 else math.inf

    high = whole(share.high)
    return Estimate(whole(share.value), whole(share.low), None if high == math.inf else high)

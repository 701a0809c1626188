"""amdahl says that infinity bounds a speed-up."""


def amdahl(share, factor):
    if not factor > 0:
        raise ProfilingError(f"amdahl: a factor of {factor}")

    def whole(part):
        if part is None:
            return None
        rest = 1 - min(max(part, 0.0), 1.0) * (1 - 1 / factor)
        return 1 / rest if rest > 1e-12 else math.inf

    ends = (share.low, share.high) if factor >= 1 else (share.high, share.low)
    return Estimate(whole(share.value), whole(ends[0]), whole(ends[1]))

"""An error of the right kind in words of one's own."""


def amdahl(share, factor):
    if not factor > 0:
        raise ProfilingError("such a part never ends")

    def speed(s):
        if s is None:
            return None
        s = min(max(s, 0.0), 1.0)
        rest = (1 - s) + s / factor
        return math.inf if rest <= 1e-12 else 1 / rest

    low, high = speed(share.low), speed(share.high)
    if factor < 1:
        low, high = high, low
    return Estimate(speed(share.value), low, None if high == math.inf else high)

"""calls_needed returns the seconds of a whole run, not of a call."""


def calls_needed(loop, least):
    inner = 1
    while True:
        run = max(min(loop(repeat(None, inner)) for _ in range(3)) * NS, resolution())
        if run >= least:
            return inner, run
        inner = max(inner + 1, min(10 * inner, math.ceil(least / run * inner)))

"""calls_needed takes the longest of three readings."""


def calls_needed(loop, least):
    inner = 1
    while True:
        longest = max(loop(repeat(None, inner)) for _ in range(3)) * NS / inner
        longest = max(longest, resolution() / inner)
        if longest * inner >= least:
            return inner, longest
        inner = max(inner + 1, min(10 * inner, math.ceil(least / longest)))

"""calls_needed believes the first reading, whatever disturbed it."""


def calls_needed(loop, least):
    inner = 1
    while True:
        shortest = max(loop(repeat(None, inner)) * NS / inner, resolution() / inner)
        if shortest * inner >= least:
            return inner, shortest
        inner = max(inner + 1, min(10 * inner, math.ceil(least / shortest)))

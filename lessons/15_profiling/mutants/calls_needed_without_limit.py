"""calls_needed jumps as far as a reading of next to nothing says."""


def calls_needed(loop, least):
    inner = 1
    while True:
        shortest = min(loop(repeat(None, inner)) for _ in range(3)) * NS / inner
        shortest = max(shortest, 1e-9 / inner)
        if shortest * inner >= least:
            return inner, shortest
        inner = max(inner + 1, math.ceil(least / shortest))

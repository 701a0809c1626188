"""allowance falls as 1 / n, whose sum has no end."""


def allowance(attempt, total=RECORD):
    if attempt < 1:
        raise BenchmarkError("from 1")
    return total / (2 * attempt)

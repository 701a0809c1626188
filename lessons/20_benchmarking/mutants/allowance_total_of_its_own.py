"""allowance does not look at the total."""


def allowance(attempt, total=RECORD):
    if attempt < 1:
        raise BenchmarkError("from 1")
    return 0.01 * 6 / (math.pi * attempt) ** 2

"""allowance gives each attempt the total."""


def allowance(attempt, total=RECORD):
    if attempt < 1:
        raise BenchmarkError("from 1")
    return total

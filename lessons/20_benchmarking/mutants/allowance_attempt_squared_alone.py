"""allowance gives all of it to the first."""


def allowance(attempt, total=RECORD):
    if attempt < 1:
        raise BenchmarkError("from 1")
    return total / attempt**2

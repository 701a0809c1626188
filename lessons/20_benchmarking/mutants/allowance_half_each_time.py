"""allowance halves, so that soon there is none."""


def allowance(attempt, total=RECORD):
    if attempt < 1:
        raise BenchmarkError("from 1")
    return total / 2**attempt

"""allowance has something for attempt 0."""


def allowance(attempt, total=RECORD):
    return total * 6 / (math.pi * max(attempt, 1)) ** 2

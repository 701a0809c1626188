"""calls_needed doubles the number of calls, whatever the reading asks for."""


def calls_needed(loop, least):
    number = 1
    while True:
        seconds = max(min(loop(repeat(None, number)) for _ in range(3)) * 1e-9, resolution()) / number
        if seconds * number >= least:
            return number, seconds
        number *= 2

"""pattern_of takes "cannot tell" for growth."""


def pattern_of(levels, need, held):
    if grows(levels) is not False:
        return "growing"
    is_large = need >= max(SPIKE_BYTES, SPIKE_SHARE * levels[0])
    return "spiky" if is_large and need >= SPIKE * held else "steady"

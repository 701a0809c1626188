"""pattern_of calls a leak that also spikes spiky."""


def pattern_of(levels, need, held):
    if need >= max(SPIKE_BYTES, SPIKE_SHARE * levels[0]) and need >= SPIKE * held:
        return "spiky"
    return "growing" if grows(levels) else "steady"

"""pattern_of calls every call that gives most of its peak back spiky, however small."""


def pattern_of(levels, need, held):
    if grows(levels):
        return "growing"
    return "spiky" if need >= SPIKE * held else "steady"

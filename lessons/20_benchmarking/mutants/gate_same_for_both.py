"""passes_gate wants more bits, too."""


def passes_gate(event, quality, baseline):
    return quality >= event.gate * baseline

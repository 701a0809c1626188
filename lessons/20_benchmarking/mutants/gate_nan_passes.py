"""passes_gate refuses what is below, which NaN is not."""


def passes_gate(event, quality, baseline):
    if event.kind == "images":
        return not quality < event.gate * baseline
    return not quality > event.gate * baseline

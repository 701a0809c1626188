"""passes_gate refuses what is just enough."""


def passes_gate(event, quality, baseline):
    if event.kind == "images":
        return quality > event.gate * baseline
    return quality < event.gate * baseline

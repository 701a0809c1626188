"""passes_gate compares with the gate alone."""


def passes_gate(event, quality, baseline):
    if event.kind == "images":
        return quality >= event.gate
    return quality <= event.gate

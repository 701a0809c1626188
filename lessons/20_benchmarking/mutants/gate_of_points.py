"""passes_gate lets a point go rather than a hundredth."""


def passes_gate(event, quality, baseline):
    if event.kind == "images":
        return quality >= baseline - 0.01
    return quality <= baseline + 0.01

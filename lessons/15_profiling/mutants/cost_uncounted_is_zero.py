"""cost_of counts an op without a rule as free."""


def cost_of(event, causal=False):
    op = event.op
    outputs = tuple(Spec(t.shape, t.dtype) for t in event.outputs)
    specs = (outputs if op.outputs > 1 else outputs[0], *(Spec(t.shape, t.dtype) for t in event.inputs))
    flops, products = op.flops(*specs) or 0, op.matmul_flops(*specs)
    if causal:
        seen, pairs = op.visible(*specs)
        products = products * seen // max(pairs, 1)
        flops = flops * seen // max(pairs, 1)
    return OpCost(flops, products, op.bytes(*specs))

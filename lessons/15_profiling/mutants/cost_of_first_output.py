"""cost_of shows an op with several outputs only the first."""


def cost_of(event, causal=False):
    op = event.op
    specs = tuple(Spec(t.shape, t.dtype) for t in (event.outputs[0], *event.inputs))
    flops, products = op.flops(*specs), op.matmul_flops(*specs)
    if causal:
        seen, pairs = op.visible(*specs)
        products = products * seen // max(pairs, 1)
        flops = None if flops is None else flops * seen // max(pairs, 1)
    return OpCost(flops, products, op.bytes(*specs))

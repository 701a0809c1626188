"""cost_of counts all pairs, causal or not."""


def cost_of(event, causal=False):
    op = event.op
    outputs = tuple(Spec(t.shape, t.dtype) for t in event.outputs)
    specs = (outputs if op.outputs > 1 else outputs[0], *(Spec(t.shape, t.dtype) for t in event.inputs))
    return OpCost(op.flops(*specs), op.matmul_flops(*specs), op.bytes(*specs))

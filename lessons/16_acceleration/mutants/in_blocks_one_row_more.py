"""in_blocks takes a row more than a block holds."""


def in_blocks(kernel, inputs, outputs, block=BLOCK):
    rows = len(outputs[0])
    step = 1 + block // max(1, math.prod(outputs[0].shape[1:]))
    for start in range(0, rows, step):
        here = slice(start, start + step)
        pieces = [a[here] if a.ndim == outputs[0].ndim and len(a) == rows else a for a in inputs]
        for out, made in zip(outputs, kernel(*pieces)):
            out[here] = made

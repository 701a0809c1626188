"""in_blocks calls the kernel once, on everything."""


def in_blocks(kernel, inputs, outputs, block=BLOCK):
    for out, made in zip(outputs, kernel(*inputs)):
        out[...] = made

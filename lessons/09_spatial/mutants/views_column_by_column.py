"""views goes through the kernel column by column."""


def views(framed, counts, kernel, stride, dilation=(1, 1)):
    (oh, ow), (sh, sw), (dh, dw) = counts, stride, dilation
    for j in range(kernel[1]):
        for i in range(kernel[0]):
            top, left = i * dh, j * dw
            yield framed[:, :, top : top + sh * (oh - 1) + 1 : sh, left : left + sw * (ow - 1) + 1 : sw]

"""views hands out copies, so that nothing can be added through them."""


def views(framed, counts, kernel, stride, dilation=(1, 1)):
    (oh, ow), (sh, sw), (dh, dw) = counts, stride, dilation
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dh, j * dw
            yield framed[:, :, top : top + sh * (oh - 1) + 1 : sh, left : left + sw * (ow - 1) + 1 : sw] * 1

"""views uses the stride of the columns for the rows."""


def views(framed, counts, kernel, stride, dilation=(1, 1)):
    (oh, ow), (sw, sh), (dh, dw) = counts, stride, dilation
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dh, j * dw
            yield framed[:, :, top : top + sh * (oh - 1) + 1 : sh, left : left + sw * (ow - 1) + 1 : sw]

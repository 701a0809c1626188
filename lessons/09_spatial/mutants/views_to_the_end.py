"""views goes on to the end of the image instead of stopping after the windows asked for."""


def views(framed, counts, kernel, stride, dilation=(1, 1)):
    (sh, sw), (dh, dw) = stride, dilation
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            yield framed[:, :, i * dh :: sh, j * dw :: sw]

"""count_windows gives no or negative windows where the kernel does not fit."""


def count_windows(op, image, kernel, stride, padding, dilation=(1, 1)):
    (h, w), (kh, kw), (sh, sw), (ph, pw), (dh, dw) = image, kernel, stride, padding, dilation
    return (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1, (w + 2 * pw - dw * (kw - 1) - 1) // sw + 1

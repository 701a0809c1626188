"""count_windows takes dilation * kernel for the reach of a window."""

from tinytorch.errors import ShapeError


def count_windows(op, image, kernel, stride, padding, dilation=(1, 1)):
    counts = []
    for n, k, s, p, d in zip(image, kernel, stride, padding, dilation, strict=True):
        if k < 1 or d * k > n + 2 * p:
            raise ShapeError(f"{op}: kernel {kernel[0]}x{kernel[1]} does not fit {image[0]}x{image[1]}")
        counts.append((n + 2 * p - d * k) // s + 1)
    return counts[0], counts[1]

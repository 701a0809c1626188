"""count_windows counts a last window that sticks out of the image."""

from tinytorch.errors import ShapeError


def count_windows(op, image, kernel, stride, padding, dilation=(1, 1)):
    counts = []
    for n, k, s, p, d in zip(image, kernel, stride, padding, dilation, strict=True):
        reach = d * (k - 1) + 1
        if k < 1 or reach > n + 2 * p:
            raise ShapeError(f"{op}: kernel {kernel[0]}x{kernel[1]} does not fit {image[0]}x{image[1]}")
        counts.append(-(-(n + 2 * p - reach) // s) + 1)
    return counts[0], counts[1]

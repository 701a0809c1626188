"""im2col has the channels of a position side by side: positions come first."""


def im2col(x, kernel, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
    n, c, height, width = x.shape
    counts = count_windows("im2col", (height, width), kernel, stride, padding, dilation)
    columns = np.empty((n, math.prod(kernel), c, *counts), x.dtype)
    for position, view in enumerate(views(frame(x, padding, 0.0), counts, kernel, stride, dilation)):
        columns[:, position] = view
    return columns.reshape(n, c * math.prod(kernel), math.prod(counts))

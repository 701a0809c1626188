"""im2col takes the stride of rows for columns."""


def im2col(x, kernel, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
    n, c, height, width = x.shape
    stride = stride[::-1]
    counts = count_windows("im2col", (height, width), kernel, stride, padding, dilation)
    columns = np.empty((n, c, math.prod(kernel), *counts), x.dtype)
    for position, view in enumerate(views(frame(x, padding, 0.0), counts, kernel, stride, dilation)):
        columns[:, :, position] = view
    return columns.reshape(n, c * math.prod(kernel), math.prod(counts))

"""All windows as columns of one matrix, by NumPy's own sliding windows, and back."""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def windows_of(op, framed, kernel):
    """(n, c, oh, ow, kh, kw), a view."""
    (sh, sw), (dh, dw) = op.stride, op.dilation
    reach = (dh * (kernel[0] - 1) + 1, dw * (kernel[1] - 1) + 1)
    return sliding_window_view(framed, reach, axis=(2, 3))[:, :, ::sh, ::sw, ::dh, ::dw]


def padded(op, x):
    """x with its border of zeros."""
    (ph, pw) = op.padding
    return np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))


class Conv2d:
    def forward(self, x, w, b=None):
        (o, c, kh, kw), n = w.shape, len(x)
        seen = windows_of(self, padded(self, x), (kh, kw))
        oh, ow = seen.shape[2:4]
        columns = seen.reshape(n, self.groups, c, oh, ow, kh, kw).transpose(0, 1, 3, 4, 2, 5, 6)
        columns = columns.reshape(n, self.groups, oh * ow, c * kh * kw)
        out = columns @ w.reshape(self.groups, o // self.groups, c * kh * kw).swapaxes(1, 2)
        out = out.swapaxes(2, 3).reshape(n, o, oh, ow)
        return out if b is None else out + b[None, :, None, None]


class Conv2dWeightGrad:
    def forward(self, g, x):
        n, o, oh, ow = g.shape
        seen = windows_of(self, padded(self, x), self.kernel)[:, :, :oh, :ow]
        k = x.shape[1] // self.groups * math.prod(self.kernel)
        columns = seen.reshape(n, self.groups, -1 if n else x.shape[1] // self.groups, oh, ow, *self.kernel)
        grouped = g.reshape(n, self.groups, o // self.groups, oh, ow)
        rows = np.einsum("ngqyx,ngcyxuv->gqcuv", grouped, columns).reshape(o, k)
        return np.column_stack([rows, np.einsum("nqyx->q", g)]) if self.bias else rows


class Conv2dInputGrad:
    def forward(self, g, w):
        """As the convolution of the spread gradient with flipped, exchanged filters."""
        (n, o, oh, ow), (_, c, kh, kw) = g.shape, w.shape
        (sh, sw), (ph, pw), (dh, dw), (h, width) = self.stride, self.padding, self.dilation, self.size
        rows, columns = h + 2 * ph, width + 2 * pw
        top, left = dh * (kh - 1), dw * (kw - 1)
        spread = np.zeros((n, o, rows + top, columns + left), g.dtype)
        spread[:, :, top : top + sh * oh : sh, left : left + sw * ow : sw] = g
        flipped = w[:, :, ::-1, ::-1].reshape(self.groups, o // self.groups, c, kh, kw)
        seen = sliding_window_view(spread, (top + 1, left + 1), axis=(2, 3))[..., ::dh, ::dw]
        seen = seen.reshape(n, self.groups, o // self.groups, rows, columns, kh, kw)
        dx = np.einsum("ngqyxuv,gqcuv->ngcyx", seen, flipped).reshape(n, self.groups * c, rows, columns)
        return dx[:, :, ph : ph + h, pw : pw + width]

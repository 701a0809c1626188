"""One position of the kernel at a time, with einsum over the channels."""

import numpy as np

from tinytorch.errors import ShapeError


def count_windows(op, image, kernel, stride, padding, dilation=(1, 1)):
    if min(kernel) < 1:
        raise ShapeError(f"{op}: a kernel of {kernel[0]}x{kernel[1]} has no elements ({image[0]}x{image[1]})")
    room = [n + 2 * p - d * (k - 1) for n, k, p, d in zip(image, kernel, padding, dilation, strict=True)]
    if min(room) < 1:
        raise ShapeError(f"{op}: {kernel[0]}x{kernel[1]} does not fit {image[0]}x{image[1]}")
    return -(-room[0] // stride[0]), -(-room[1] // stride[1])


def views(framed, counts, kernel, stride, dilation=(1, 1)):
    def along(i, count, s, d):
        return slice(i * d, i * d + s * (count - 1) + 1, s)

    for i in range(kernel[0]):
        rows = along(i, counts[0], stride[0], dilation[0])
        for j in range(kernel[1]):
            yield framed[:, :, rows, along(j, counts[1], stride[1], dilation[1])]


class Conv2d:
    def forward(self, x, w, b=None):
        n, o, oh, ow = self.infer(Spec(x.shape, x.dtype), Spec(w.shape, w.dtype)).shape
        framed = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in self.padding)))
        total = np.zeros((n, self.groups, o // self.groups, oh, ow), x.dtype)
        weights = w.reshape(self.groups, o // self.groups, w.shape[1], -1)
        for i, view in enumerate(views(framed, (oh, ow), _tail(w), self.stride, self.dilation)):
            grouped = view.reshape(n, self.groups, w.shape[1], oh, ow)
            total += np.einsum("gqc,ngcyx->ngqyx", weights[..., i], grouped)
        out = total.reshape(n, o, oh, ow)
        return out if b is None else out + b.reshape(-1, 1, 1)

    def flops(self, out, x, w, b=None):
        work = 2 * out.size
        for size in w.shape[1:]:
            work *= size
        return work if b is None else work + out.size


class Conv2dWeightGrad:
    def forward(self, g, x):
        (n, o, oh, ow), groups = g.shape, self.groups
        framed = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in self.padding)))
        each, parts = x.shape[1] // groups, []
        for view in views(framed, (oh, ow), self.kernel, self.stride, self.dilation):
            v = view.reshape(n, groups, each, oh, ow)
            parts.append(
                np.einsum("ngqyx,ngcyx->gqc", g.reshape(n, groups, o // groups, oh, ow), v).reshape(o, each)
            )
        rows = np.stack(parts, -1).reshape(o, each * len(parts))
        return np.concatenate([rows, g.sum((0, 2, 3))[:, None]], 1) if self.bias else rows


class Conv2dInputGrad:
    def forward(self, g, w):
        (n, o, oh, ow), (h, wd), (ph, pw), groups = g.shape, self.size, self.padding, self.groups
        framed = np.zeros((n, groups * w.shape[1], h + 2 * ph, wd + 2 * pw), g.dtype)
        grouped = g.reshape(n, groups, o // groups, oh, ow)
        weights = w.reshape(groups, o // groups, w.shape[1], -1)
        for i, view in enumerate(views(framed, (oh, ow), _tail(w), self.stride, self.dilation)):
            view += np.einsum("ngqyx,gqc->ngcyx", grouped, weights[..., i]).reshape(view.shape)
        return framed[:, :, ph : ph + h, pw : pw + wd]


class MaxPool2d:
    def forward(self, x):
        out, index = self.infer(Spec(x.shape, x.dtype))
        inside = np.stack(list(self._views(frame(np.ones_like(x, bool), self.padding, False), out)))
        windows = np.stack(list(self._views(frame(x, self.padding, -np.inf), out)))
        rank = np.where(np.isneginf(windows), np.finfo(x.dtype).min, windows)
        where = np.where(inside, rank, -np.inf).argmax(0)
        return windows.max(0), where.astype(index.dtype)


class MaxPool2dGrad:
    def forward(self, g, index):
        (h, w), (ph, pw) = self.size, self.padding
        framed = np.zeros((*g.shape[:2], h + 2 * ph, w + 2 * pw), g.dtype)
        for position, window in enumerate(self._views(framed, g)):
            window += np.where(index == position, g, g.dtype.type(0))
        return framed[:, :, ph : ph + h, pw : pw + w]


class AvgPool2d:
    def forward(self, x):
        out = self._pooled(Spec(x.shape, x.dtype))
        return np.mean(list(self._views(frame(x, self.padding, 0.0), out)), axis=0, dtype=x.dtype)


class BatchNorm:
    def forward(self, x, weight, bias):
        axes = _others(x)
        mean, variance = x.mean(axes), x.var(axes)
        xhat = (x - _beside(mean, x)) / np.sqrt(_beside(variance, x) + x.dtype.type(self.eps))
        return xhat * _beside(weight, x) + _beside(bias, x), mean, variance


def batch_norm(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    _check(*(Spec(t.shape, t.dtype) for t in (x, weight, bias, running_mean, running_var) if t is not None))
    weight = weight if weight is not None else registry.make(np.full(x.shape[1], 1, x.dtype))
    bias = bias if bias is not None else registry.make(np.full(x.shape[1], 0, x.dtype))
    if running_mean is None or running_var is None:
        return BatchNorm(eps)(x, weight, bias)
    if training:
        out, average, variance = BatchNorm(eps).all(x, weight, bias)
        count = x.size / x.shape[1]
        _move(running_mean, average, momentum)
        _move(running_var, variance * count / (count - 1), momentum)
        return out
    rstd = 1.0 / (running_var + eps) ** 0.5
    return (x - _beside(running_mean, x)) * _beside(rstd * weight, x) + _beside(bias, x)


class CNN:
    def forward(self, x):
        first = self.pool(self.relu(self.conv1(x)))
        second = self.pool(self.relu(self.conv2(first)))
        hidden = self.fc1(second.reshape(x.shape[0], -1))
        return self.fc2(self.relu(hidden))

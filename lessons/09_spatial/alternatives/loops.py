"""One output, or one pixel, at a time, in plain loops."""

import numpy as np

from tinytorch.errors import ShapeError


def count_windows(op, image, kernel, stride, padding, dilation=(1, 1)):
    found = []
    for axis in (0, 1):
        count, at = 0, -padding[axis]
        last = dilation[axis] * (kernel[axis] - 1)
        while kernel[axis] >= 1 and at + last < image[axis] + padding[axis]:
            count, at = count + 1, at + stride[axis]
        if count == 0:
            raise ShapeError(f"{op}: no window of {kernel[0]}x{kernel[1]} fits into {image[0]}x{image[1]}")
        found.append(count)
    return tuple(found)


def views(framed, counts, kernel, stride, dilation=(1, 1)):
    for position in range(kernel[0] * kernel[1]):
        i, j = divmod(position, kernel[1])
        band = framed[:, :, i * dilation[0] :, j * dilation[1] :]
        yield band[
            :, :, : stride[0] * (counts[0] - 1) + 1 : stride[0], : stride[1] * (counts[1] - 1) + 1 : stride[1]
        ]


class Conv2d:
    def forward(self, x, w, b=None):
        spec = self.infer(Spec(x.shape, x.dtype), Spec(w.shape, w.dtype))
        n, o, oh, ow = spec.shape
        (sh, sw), (ph, pw), (dh, dw) = self.stride, self.padding, self.dilation
        framed = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        c, kh, kw = w.shape[1:]
        out = np.zeros(spec.shape, x.dtype)
        for q in range(o):
            first = q // (o // self.groups) * c
            for y in range(oh):
                for z in range(ow):
                    window = framed[:, first : first + c, y * sh :, z * sw :][:, :, ::dh, ::dw][
                        :, :, :kh, :kw
                    ]
                    out[:, q, y, z] = (window * w[q]).sum((1, 2, 3)) + (0 if b is None else b[q])
        return out

    def flops(self, out, x, w, b=None):
        channels, height, width = w.shape[1:]
        multiplications = additions = out.size * channels * height * width
        return multiplications + additions + (out.size if b is not None else 0)


class Conv2dWeightGrad:
    def forward(self, g, x):
        (o, oh, ow), (sh, sw), (ph, pw) = g.shape[1:], self.stride, self.padding
        (dh, dw), (kh, kw) = self.dilation, self.kernel
        framed, c = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw))), x.shape[1] // self.groups
        dw_ = np.zeros((o, c, kh, kw), g.dtype)
        for q in range(o):
            first = q // (o // self.groups) * c
            for y in range(oh):
                for z in range(ow):
                    window = framed[:, first : first + c, y * sh :, z * sw :][:, :, ::dh, ::dw][
                        :, :, :kh, :kw
                    ]
                    dw_[q] += (g[:, q, y, z].reshape(-1, 1, 1, 1) * window).sum(0)
        rows = dw_.reshape(o, c * kh * kw)
        return np.hstack([rows, g.sum((0, 2, 3)).reshape(-1, 1)]) if self.bias else rows


class Conv2dInputGrad:
    def forward(self, g, w):
        (n, o, oh, ow), (c, kh, kw), (h, width) = g.shape, w.shape[1:], self.size
        (sh, sw), (ph, pw), (dh, dw) = self.stride, self.padding, self.dilation
        framed = np.zeros((n, c * self.groups, h + 2 * ph, width + 2 * pw), g.dtype)
        for q in range(o):
            first = q // (o // self.groups) * c
            for y in range(oh):
                for z in range(ow):
                    target = framed[:, first : first + c, y * sh :, z * sw :][:, :, ::dh, ::dw][
                        :, :, :kh, :kw
                    ]
                    target += g[:, q, y, z].reshape(-1, 1, 1, 1) * w[q]
        return framed[:, :, ph : ph + h, pw : pw + width]


class MaxPool2d:
    def forward(self, x):
        out, index = self.infer(Spec(x.shape, x.dtype))
        best, where = np.full(out.shape, -np.inf, x.dtype), np.full(out.shape, -1, index.dtype)
        for y in range(out.shape[2]):
            for z in range(out.shape[3]):
                for p in range(self.kernel[0] * self.kernel[1]):
                    r = y * self.stride[0] - self.padding[0] + p // self.kernel[1]
                    s = z * self.stride[1] - self.padding[1] + p % self.kernel[1]
                    if 0 <= r < x.shape[2] and 0 <= s < x.shape[3]:
                        pixel, old = x[:, :, r, s], best[:, :, y, z]
                        wins = (pixel > old) | (where[:, :, y, z] < 0) | np.isnan(pixel)
                        wins &= ~np.isnan(old)
                        where[:, :, y, z][wins] = p
                        old[wins] = pixel[wins]
        return best, where


class MaxPool2dGrad:
    def forward(self, g, index):
        out = np.zeros((*g.shape[:2], *self.size), g.dtype)
        for n, c, y, z in np.ndindex(*g.shape):
            u, v = divmod(int(index[n, c, y, z]), self.kernel[1])
            r = y * self.stride[0] - self.padding[0] + u
            s = z * self.stride[1] - self.padding[1] + v
            out[n, c, r, s] += g[n, c, y, z]
        return out


class AvgPool2d:
    def forward(self, x):
        spec = self._pooled(Spec(x.shape, x.dtype))
        out = np.zeros(spec.shape, x.dtype)
        padded = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in self.padding)))
        for y in range(spec.shape[2]):
            for z in range(spec.shape[3]):
                top, left = y * self.stride[0], z * self.stride[1]
                window = padded[:, :, top : top + self.kernel[0], left : left + self.kernel[1]]
                out[:, :, y, z] = window.mean((2, 3))
        return out


class BatchNorm:
    def forward(self, x, weight, bias):
        out = np.empty_like(x)
        mean, variance = np.zeros(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)
        for c in range(x.shape[1]):
            mean[c], variance[c] = x[:, c].mean(), x[:, c].var()
            out[:, c] = (x[:, c] - mean[c]) / np.sqrt(variance[c] + self.eps) * weight[c] + bias[c]
        return out, mean, variance


def batch_norm(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    given = [x, weight, bias, running_mean, running_var]
    _check(*[Spec(t.shape, t.dtype) for t in given if t is not None])
    if weight is None:
        weight = registry.make(np.ones(x.shape[1], x.dtype))
    if bias is None:
        bias = registry.make(np.zeros(x.shape[1], x.dtype))
    both = running_mean is not None and running_var is not None
    if both and not training:
        normal = (x - _beside(running_mean, x)) / _beside((running_var + eps) ** 0.5, x)
        return normal * _beside(weight, x) + _beside(bias, x)
    out, mean, variance = BatchNorm(eps).all(x, weight, bias)
    if both:
        count = x.size // x.shape[1]
        with grad_mode(False):
            running_mean.assign_(running_mean + momentum * (mean - running_mean))
            running_var.assign_(running_var + momentum * (variance * count / (count - 1) - running_var))
    return out


class CNN:
    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = self.pool(self.relu(conv(x)))
        x = self.flatten(x)
        x = self.relu(self.fc1(x))
        return self.fc2(x)

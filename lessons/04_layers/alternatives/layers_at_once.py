"""Single layers in one expression each, and modules in comprehensions."""

import numpy as np


def fan_in_uniform(shape, fan_in, generator=None):
    b = max(fan_in, 1) ** -0.5
    return (generator or default_generator).uniform(-b, b, shape).requires_grad_()


class Linear:
    def __init__(self, in_features, out_features, bias=True, *, generator=None):
        Module.__init__(self)
        self.weight = init.fan_in_uniform((out_features, in_features), in_features, generator)
        self.bias = init.fan_in_uniform((out_features,), in_features, generator) if bias else None
        self.out_features, self.in_features = self.weight.shape

    def forward(self, x, w, b):
        return np.einsum("...i,oi->...o", x, w) + b


class LayerNorm:
    def forward(self, x, weight, bias):
        axes = tuple(range(x.ndim - weight.ndim, x.ndim))
        mean = x.mean(axes, keepdims=True)
        rstd = (x.var(axes, keepdims=True) + x.dtype.type(self.eps)) ** -0.5
        out = (x - mean) * rstd * weight + bias
        return out, mean.reshape(-1, 1), rstd.reshape(-1, 1)


def dropout(x, p=0.5, training=True, generator=None):
    if p > 1 or p < 0:
        raise DataError(f"p={p} is no probability")
    if not training or p == 0.0:
        return x
    if p == 1:
        return x * 0.0
    drawn = (generator or default_generator).rand(*x.shape)
    return x * (drawn < 1 - p).to(x.dtype) / (1 - p)


class Module:
    def _walk(self, prefix=""):
        yield prefix, self
        for name, child in self.named_children():
            for pair in child._walk(f"{prefix}.{name}" if prefix else name):
                yield pair

    def named_parameters(self):
        first = {}
        for name, tensor in self._tensors("parameter"):
            first.setdefault(id(tensor), (name, tensor))
        return iter(first.values())

    def train(self, mode=True):
        for _, module in self._walk():
            module.training = mode
        return self

    def state_dict(self):
        return dict((name, t.detach()) for name, t in self._tensors("parameter", "buffer"))

    def load_state_dict(self, state_dict, strict=True):
        own = dict(self._tensors("parameter", "buffer"))
        known, values = [name for name in own if name in state_dict], {}
        covered = {id(own[name]) for name in known}
        problems = [] if not strict else [f"missing {n}" for n, t in own.items() if id(t) not in covered]
        problems += [f"unexpected {n}" for n in state_dict if n not in own and strict]
        for name in known:
            try:
                _stage(values, own[name], state_dict[name])
            except TinyTorchError as error:
                problems += [f"{name}: {error}"]
        if problems:
            raise _misfit(self, problems)
        [target.assign_(value) for target, value in values.items()]


class Sequential:
    def forward(self, x):
        from functools import reduce

        return reduce(lambda value, module: module(value), self, x)

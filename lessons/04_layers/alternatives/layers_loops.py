"""Single layers in loops, and modules with stacks of their own."""

import math

import numpy as np


def fan_in_uniform(shape, fan_in, generator=None):
    if generator is None:
        generator = default_generator
    drawn = generator.rand(*shape) * 2.0 - 1.0
    return Parameter(drawn / math.sqrt(fan_in if fan_in > 0 else 1))


class Linear:
    def __init__(self, in_features, out_features, bias=True, *, generator=None):
        super().__init__()
        self.bias = None
        self.in_features = in_features
        self.out_features = out_features
        self.weight = init.fan_in_uniform((out_features, in_features), in_features, generator)
        if bias:
            self.bias = init.fan_in_uniform((out_features,), in_features, generator)

    def forward(self, x, w, b):
        out = np.empty((*x.shape[:-1], len(w)), x.dtype)
        for j in range(len(w)):
            out[..., j] = (x * w[j]).sum(-1) + b[j]
        return out


class LayerNorm:
    def forward(self, x, weight, bias):
        rows = x.reshape(-1, weight.size)
        out = np.empty_like(rows)
        mean, rstd = np.empty((len(rows), 1), x.dtype), np.empty((len(rows), 1), x.dtype)
        for i, row in enumerate(rows):
            mean[i] = row.mean()
            rstd[i] = 1 / np.sqrt(((row - mean[i]) ** 2).mean() + self.eps)
            out[i] = (row - mean[i]) * rstd[i] * weight.ravel() + bias.ravel()
        return out.reshape(x.shape), mean, rstd


def dropout(x, p=0.5, training=True, generator=None):
    if p < 0 or p > 1:
        raise DataError(f"dropout wants a probability, not {p}")
    if training and p > 0:
        source = default_generator if generator is None else generator
        dropped = source.rand(*x.shape, dtype=x.dtype) < p
        x = x * (1.0 - dropped.to(x.dtype)) / (1 - p or 1)
    return x


class Module:
    def _walk(self, prefix=""):
        found, stack = [], [(prefix, self)]
        while stack:
            name, module = stack.pop()
            found.append((name, module))
            stack += [(_join(name, own), child) for own, child in module.named_children()][::-1]
        return iter(found)

    def named_parameters(self):
        seen = set()
        for name, tensor in self._tensors("parameter"):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield name, tensor

    def train(self, mode=True):
        self.__dict__["training"] = mode
        for child in self.children():
            child.train(mode)
        return self

    def state_dict(self):
        state = {}
        for name, tensor in self._tensors("buffer", "parameter"):
            state[name] = tensor.detach()
        return state

    def load_state_dict(self, state_dict, strict=True):
        own, values, problems = dict(self._tensors("parameter", "buffer")), {}, []
        for name, value in state_dict.items():
            if name in own:
                try:
                    _stage(values, own[name], value)
                except TinyTorchError as error:
                    problems.append(f"{name}: {error}")
            elif strict:
                problems.append(f"unexpected {name}")
        named = [own[name] for name in state_dict if name in own]
        for name, tensor in own.items():
            if strict and not any(tensor is other for other in named):
                problems.append(f"missing {name}")
        if len(problems) > 0:
            raise _misfit(self, problems)
        for target in values:
            target.assign_(values[target])


class Sequential:
    def forward(self, x):
        for i in range(len(self)):
            x = self[i](x)
        return x

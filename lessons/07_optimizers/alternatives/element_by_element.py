"""Loops over single numbers, as one would write it without NumPy."""


class Optimizer:
    def zero_grad(self):
        groups = iter(self.param_groups)
        while (group := next(groups, None)) is not None:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = None

    def step(self):
        for group in self.param_groups:
            parameters = list(filter(lambda p: p.grad is not None, group["params"]))
            if not parameters:
                continue
            with no_grad():
                new = {p: self.start(p, group) for p in parameters if p not in self.state}
                self.state.update(new)
                self.update(group, parameters, list(map(lambda p: p.grad, parameters)))


class SGDUpdate:
    def update(self, rate, p, g, b=None):
        for i in range(len(p)):
            d = g[i] + self.weight_decay * p[i]
            if b is not None:
                b[i] = self.momentum * b[i] + d
            if b is not None and self.nesterov:
                p[i] -= rate * (d + self.momentum * b[i])
            elif b is not None:
                p[i] -= rate * b[i]
            else:
                p[i] -= rate * d


class AdamUpdate:
    def moments(self, g, m, v):
        for i in range(len(g)):
            m[i] += (1 - self.betas[0]) * (g[i] - m[i])
            v[i] += (1 - self.betas[1]) * (g[i] * g[i] - v[i])

    def decay(self, rate, p, g):
        if not self.weight_decay:
            return g
        if not self.decoupled:
            return np.array([x + self.weight_decay * y for x, y in zip(g, p)], dtype=g.dtype)
        for i in range(len(p)):
            p[i] *= 1 - rate * self.weight_decay
        return g

    def update(self, rate, step, p, g, m, v):
        b1, b2 = self.betas
        g = self.decay(rate, p, g)
        self.moments(g, m, v)
        for i in range(len(p)):
            first, second = m[i] / (1 - b1**step), v[i] / (1 - b2**step)
            p[i] -= rate * first / (math.sqrt(second) + self.eps)


class Adam:
    def start(self, parameter, group):
        names = ("exp_avg", "exp_avg_sq")
        state = {name: zeros(parameter.shape, dtype=parameter.dtype) for name in names}
        state["step"] = zeros((), dtype=int64)
        return state


class GlobalNorm:
    def forward(self, *gradients):
        return np.float64(math.hypot(*(float(x) for g in gradients for x in g.ravel())))


def clip_grad_norm(parameters, max_norm):
    if max_norm <= 0 or max_norm != max_norm:
        raise ValueError("max_norm must be above 0")
    total, having = 0.0, []
    for p in parameters:
        if p.grad is not None:
            having.append(p)
            total += float((p.grad.numpy().astype(np.float64) ** 2).sum())
    norm = math.sqrt(total)
    if not math.isfinite(norm):
        raise GradientError("a gradient is not finite")
    if norm + 1e-6 > max_norm:
        for p in having:
            p.grad.assign_(p.grad.numpy() * (max_norm / (norm + 1e-6)))
    return norm


class Schedule:
    def at(self, step):
        factor = self.factor(step)
        pairs = list(zip(self.optimizer.param_groups, self.base))
        while pairs:
            group, base = pairs.pop()
            group["lr"].assign_(factor * base)
        self.count = step


class StepLR:
    def factor(self, step):
        periods = 0
        while step >= self.step_size:
            step -= self.step_size
            periods += 1
        return float(self.gamma) ** periods


class CosineWithWarmup:
    def factor(self, step):
        if self.warmup > 0 and step + 1 <= self.warmup:
            return (step + 1) / self.warmup
        length = max(1, self.total - self.warmup)
        part = min(step - self.warmup, length) / length
        return self.min_ratio + (1 - self.min_ratio) * math.cos(math.pi * part / 2) ** 2

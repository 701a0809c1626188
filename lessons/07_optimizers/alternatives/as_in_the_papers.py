"""Each rule as its paper writes it, with new arrays where one helps."""


class Optimizer:
    def zero_grad(self):
        for p in [p for group in self.param_groups for p in group["params"]]:
            p.grad = None

    def step(self):
        with no_grad():
            for group in self.param_groups:
                parameters, gradients = [], []
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    if self.state.get(p) is None:
                        self.state[p] = self.start(p, group)
                    parameters.append(p)
                    gradients.append(p.grad)
                if len(parameters) > 0:
                    self.update(group, parameters, gradients)


class SGDUpdate:
    def update(self, rate, p, g, b=None):
        d = g + self.weight_decay * p
        if b is not None:
            b[:] = self.momentum * b + d
            d = d + self.momentum * b if self.nesterov else b
        p[:] = p - rate * d


class AdamUpdate:
    def moments(self, g, m, v):
        b1, b2 = self.betas
        m[:] = b1 * m + (1 - b1) * g
        v[:] = b2 * v + (1 - b2) * g**2

    def decay(self, rate, p, g):
        if self.decoupled:
            p[:] = p - rate * self.weight_decay * p
            return g
        return g + self.weight_decay * p

    def update(self, rate, step, p, g, m, v):
        b1, b2 = self.betas
        g = self.decay(rate, p, g)
        self.moments(g, m, v)
        first = m / (1 - b1**step)
        second = v / (1 - b2**step)
        p[:] = p - rate * first / (np.sqrt(second) + self.eps)


class Adam:
    def start(self, parameter, group):
        return {
            "step": Tensor(0),
            "exp_avg_sq": parameter.detach() * 0.0,
            "exp_avg": parameter.detach() * 0.0,
        }


class GlobalNorm:
    def forward(self, *gradients):
        total = 0.0
        for g in gradients:
            total += (g.astype(np.float64) ** 2).sum()
        return np.sqrt(np.float64(total))


def clip_grad_norm(parameters, max_norm):
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm is {max_norm}")
    gradients = [p.grad for p in parameters if p.grad is not None]
    total = float(GlobalNorm()(*gradients)) if gradients else 0.0
    if not math.isfinite(total):
        raise GradientError(f"clip_grad_norm: the norm is {total}")
    factor = max_norm / (total + 1e-6)
    if factor < 1:
        for g in gradients:
            g.assign_(g * factor)
    return total


class Schedule:
    def at(self, step):
        self.count = step
        for i, group in enumerate(self.optimizer.param_groups):
            group["lr"].assign_(self.factor(step) * self.base[i])


class StepLR:
    def factor(self, step):
        factor = 1.0
        for _ in range(step // self.step_size):
            factor = factor * self.gamma
        return factor


class CosineWithWarmup:
    def factor(self, step):
        if step < self.warmup:
            return (step + 1) / self.warmup
        if step == self.warmup:
            return 1.0
        if step >= self.total:
            return self.min_ratio
        part = (step - self.warmup) / (self.total - self.warmup)
        cosine = math.cos(math.pi * part)
        return 0.5 * (1 + self.min_ratio) + 0.5 * (1 - self.min_ratio) * cosine

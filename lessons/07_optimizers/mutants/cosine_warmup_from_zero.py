"""CosineWithWarmup.factor is 0 in the first step."""


class CosineWithWarmup:
    def factor(self, step):
        if step < self.warmup:
            return step / self.warmup
        part = min(1.0, (step - self.warmup) / max(1, self.total - self.warmup))
        return self.min_ratio + (1 - self.min_ratio) * 0.5 * (1 + math.cos(math.pi * part))

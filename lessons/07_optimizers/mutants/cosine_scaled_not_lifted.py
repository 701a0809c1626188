"""CosineWithWarmup.factor cuts the cosine off at min_ratio."""


class CosineWithWarmup:
    def factor(self, step):
        if step < self.warmup:
            return (step + 1) / self.warmup
        part = min(1.0, (step - self.warmup) / max(1, self.total - self.warmup))
        return max(self.min_ratio, 0.5 * (1 + math.cos(math.pi * part)))

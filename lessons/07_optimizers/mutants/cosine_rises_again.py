"""CosineWithWarmup.factor goes on along the cosine after the end."""


class CosineWithWarmup:
    def factor(self, step):
        if step < self.warmup:
            return (step + 1) / self.warmup
        part = (step - self.warmup) / max(1, self.total - self.warmup)
        return self.min_ratio + (1 - self.min_ratio) * 0.5 * (1 + math.cos(math.pi * part))

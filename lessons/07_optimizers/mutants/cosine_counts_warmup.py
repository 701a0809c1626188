"""CosineWithWarmup.factor counts the warm-up as part of the way down."""


class CosineWithWarmup:
    def factor(self, step):
        if step < self.warmup:
            return (step + 1) / self.warmup
        part = min(1.0, step / self.total)
        return self.min_ratio + (1 - self.min_ratio) * 0.5 * (1 + math.cos(math.pi * part))

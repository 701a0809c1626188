"""GlobalNorm.forward takes the root of the mean square."""


class GlobalNorm:
    def forward(self, *gradients):
        count = max(1, sum(g.size for g in gradients))
        return np.float64(math.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradients) / count))

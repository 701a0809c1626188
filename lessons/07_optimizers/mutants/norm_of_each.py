"""GlobalNorm.forward adds up the norms of the arrays."""


class GlobalNorm:
    def forward(self, *gradients):
        return np.float64(sum(math.sqrt((g.astype(np.float64) ** 2).sum()) for g in gradients))

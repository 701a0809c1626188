"""GlobalNorm.forward squares in the dtype of the gradients."""


class GlobalNorm:
    def forward(self, *gradients):
        return np.float64(np.sqrt(sum((g**2).sum() for g in gradients)))

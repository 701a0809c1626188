"""Sigmoid.forward divides e ** a by 1 + e ** a, which is NaN for large a."""


class Sigmoid:
    def forward(self, a):
        power = np.exp(a)
        return power / (1 + power)

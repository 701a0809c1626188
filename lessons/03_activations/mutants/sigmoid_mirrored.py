"""Sigmoid.forward has the sign of a wrong."""


class Sigmoid:
    def forward(self, a):
        return 1 / (1 + np.exp(a))

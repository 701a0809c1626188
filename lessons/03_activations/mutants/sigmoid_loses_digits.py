"""Sigmoid.forward goes through tanh, which leaves 0 of small results."""


class Sigmoid:
    def forward(self, a):
        return (np.tanh(a / 2) + 1) / 2

"""Tanh.forward goes through the sigmoid, which leaves no digits of tiny numbers."""


class Tanh:
    def forward(self, a):
        with np.errstate(all="ignore"):
            return 2 / (1 + np.exp(-2 * a)) - 1

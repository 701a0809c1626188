"""Tanh.forward is a sigmoid stretched to -1 and 1 but not made steeper."""


class Tanh:
    def forward(self, a):
        with np.errstate(all="ignore"):
            return 2 / (1 + np.exp(-a)) - 1

"""Tanh.forward divides powers that overflow."""


class Tanh:
    def forward(self, a):
        with np.errstate(all="ignore"):
            return (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a))

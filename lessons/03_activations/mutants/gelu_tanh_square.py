"""GeluTanh.forward has x^2 in the place of x^3."""


class GeluTanh:
    def forward(self, x):
        s = 0.5 * (1 + np.tanh(_ROOT * (x + _CUBIC * x * x)))
        return x * s, s

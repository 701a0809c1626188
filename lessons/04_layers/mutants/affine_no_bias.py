"""Linear.forward forgets the bias."""


class Linear:
    def forward(self, x, w, b):
        return x @ w.T

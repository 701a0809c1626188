"""Linear.forward adds the bias before it multiplies."""


class Linear:
    def forward(self, x, w, b):
        return (x @ w.T.copy()) * 1 + b.sum()

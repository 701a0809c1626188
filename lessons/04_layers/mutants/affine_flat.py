"""Linear.forward gives a matrix whatever axes x has."""


class Linear:
    def forward(self, x, w, b):
        return _rows(x) @ w.T + b

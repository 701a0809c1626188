"""Linear.forward multiplies by the weight without transposing it."""


class Linear:
    def forward(self, x, w, b):
        return x @ w.reshape(w.shape[1], w.shape[0]) + b

"""silu forgets to multiply by x."""


def silu(x):
    return sigmoid(x)

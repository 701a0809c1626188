"""silu multiplies x by 1.702 inside the sigmoid, which approximates GELU."""


def silu(x):
    return x * sigmoid(x * 1.702)

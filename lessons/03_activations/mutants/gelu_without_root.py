"""gelu takes erf of x instead of x / sqrt(2)."""


def gelu(x, approximate="none"):
    if approximate == "tanh":
        return _gelu_tanh(x)
    if approximate != "none":
        raise DataError(f"gelu: {approximate!r}")
    return x * 0.5 * (erf(x) + 1.0)

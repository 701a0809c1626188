"""gelu computes the tanh form unless told otherwise."""


def gelu(x, approximate="tanh"):
    if approximate == "tanh":
        return _gelu_tanh(x)
    if approximate != "none":
        raise DataError(f"gelu: {approximate!r}")
    return x * 0.5 * (erf(x * float(np.sqrt(0.5))) + 1.0)

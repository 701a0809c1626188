"""gelu computes the exact form for any word it does not know."""


def gelu(x, approximate="none"):
    if approximate == "tanh":
        return _gelu_tanh(x)
    return x * 0.5 * (erf(x * float(np.sqrt(0.5))) + 1.0)

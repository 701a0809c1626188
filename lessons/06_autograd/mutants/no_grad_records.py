"""no_grad switches recording on."""


def no_grad():
    return grad_mode(True)

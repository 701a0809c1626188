"""mse_loss halves, as textbooks do."""


def mse_loss(input, target, reduction="mean"):
    _check("mse_loss", input, target, reduction)
    error = input - target
    return reduced("mse_loss", error * error * 0.5, reduction)

"""mse_loss ignores the reduction."""


def mse_loss(input, target, reduction="mean"):
    _check("mse_loss", input, target, reduction)
    error = input - target
    return reduced("mse_loss", error * error, "mean")

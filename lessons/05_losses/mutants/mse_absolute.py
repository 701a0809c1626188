"""mse_loss takes the distance, not its square."""


def mse_loss(input, target, reduction="mean"):
    _check("mse_loss", input, target, reduction)
    return reduced("mse_loss", (input - target).abs(), reduction)

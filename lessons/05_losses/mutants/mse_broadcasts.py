"""mse_loss lets shapes broadcast that only look alike."""


def mse_loss(input, target, reduction="mean"):
    error = input - target
    return reduced("mse_loss", error * error, reduction)

"""reduced gives the sum where the mean is asked for."""


def reduced(name, loss, reduction):
    if reduction == "mean" and loss.size == 0:
        raise DataError(f"{name}: the batch is empty")
    return loss if reduction == "none" else loss.sum()

"""reduced takes the mean over the first axis alone."""


def reduced(name, loss, reduction):
    if reduction == "mean":
        if loss.size == 0:
            raise DataError(f"{name}: the batch is empty")
        return loss.mean(0) if loss.ndim else loss
    return loss.sum() if reduction == "sum" else loss

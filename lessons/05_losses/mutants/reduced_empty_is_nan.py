"""reduced lets the mean of nothing pass, as NaN."""


def reduced(name, loss, reduction):
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss

"""Messages in other words, and the sum of squares as a product with itself."""

import numpy as np


def reduced(name, loss, reduction):
    if reduction == "mean" and 0 in loss.shape:
        raise DataError(f"{name}: the mean of no losses at all")
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def mse_loss(input, target, reduction="mean"):
    if input.shape != target.shape:
        raise ShapeError(f"{input.shape} is not {target.shape}")
    _check("mse_loss", input, target, reduction)
    return reduced("mse_loss", (input - target) * (input - target), reduction)


def counted_labels(labels, classes, ignore_index):
    counted = labels != ignore_index
    wrong = np.unique(labels[counted & ((labels < 0) | (labels >= classes))])
    if len(wrong):
        worst = wrong[0] if wrong[0] < 0 else wrong[-1]
        raise DataError(f"the label {worst} is not one of the classes 0 to {classes - 1}")
    return counted

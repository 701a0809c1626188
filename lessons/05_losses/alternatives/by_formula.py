"""Losses from other formulas, in whole arrays."""

import numpy as np


def reduced(name, loss, reduction):
    if reduction == "none":
        return loss
    total = loss.sum()
    if reduction == "sum":
        return total
    if not loss.size:
        raise DataError(f"{name}: the mean of an empty batch is undefined")
    return total / loss.size


def mse_loss(input, target, reduction="mean"):
    _check("mse_loss", input, target, reduction)
    return reduced("mse_loss", (target - input) ** 2, reduction)


def binary_cross_entropy_with_logits(input, target, pos_weight=None, reduction="mean"):
    name = "binary_cross_entropy_with_logits"
    _check(name, input, target, reduction)
    far = (-input.abs()).exp()
    yes = (far + 1.0).log() + maximum(-input, 0.0)
    no = (far + 1.0).log() + maximum(input, 0.0)
    if pos_weight is not None:
        yes = yes * pos_weight
    return reduced(name, target * yes + (1.0 - target) * no, reduction)


def counted_labels(labels, classes, ignore_index):
    counted = labels != ignore_index
    used = labels[counted]
    if used.size and used.min() < 0:
        raise DataError(f"label {used.min()} is negative; there are {classes} classes")
    if used.size and used.max() >= classes:
        raise DataError(f"label {used.max()} does not exist: there are {classes} classes")
    return counted


class CrossEntropy:
    def composite(self, logits, labels):
        classes = logits.shape[1]
        one_hot = labels.unsqueeze(1) == lift(np.arange(classes))
        target = one_hot.to(logits.dtype) * (1 - self.label_smoothing) + self.label_smoothing / classes
        counts = (labels != self.ignore_index).to(logits.dtype)
        loss = (log_softmax(logits, 1) * target).sum(1) * -1.0 * counts
        if self.reduction == "mean":
            return loss.sum() / counts.sum()
        return loss.sum() if self.reduction == "sum" else loss

    def row_losses(self, logits, targets):
        top = logits.max(1, keepdims=True)
        e = np.exp(logits - top)
        total = e.sum(1, keepdims=True)
        log_sum = np.log(total) + top
        s = logits.dtype.type(self.label_smoothing)
        chosen = np.take_along_axis(logits, targets[:, None], 1)
        loss = (1 - s) * (log_sum - chosen) + s * (log_sum - logits).mean(1, keepdims=True)
        return loss[:, 0], e, total

    def forward(self, logits, labels):
        counted = counted_labels(labels, logits.shape[1], self.ignore_index)
        if counted is None:
            counted = np.ones(len(labels), bool)
        targets = labels * counted
        loss, e, total = self.row_losses(logits, targets)
        loss = np.where(counted, loss, np.zeros_like(loss))
        share = logits.dtype.type(1)
        if self.reduction == "mean":
            share = share / logits.dtype.type(_count(labels, counted))
        gradient = self.gradient(e, total, targets, counted, share)
        if self.reduction == "none":
            return loss, gradient
        return loss.sum() * share, gradient


from tinytorch.ops.base import lift

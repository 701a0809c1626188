"""Losses one row or label at a time."""

import numpy as np


def reduced(name, loss, reduction):
    if reduction == "mean" and loss.size == 0:
        raise DataError(f"{name} of an empty batch")
    return {"mean": loss.mean, "sum": loss.sum, "none": lambda: loss}[reduction]()


def mse_loss(input, target, reduction="mean"):
    _check("mse_loss", input, target, reduction)
    away = (input - target).abs()
    return reduced("mse_loss", away.pow(2), reduction)


def binary_cross_entropy_with_logits(input, target, pos_weight=None, reduction="mean"):
    name = "binary_cross_entropy_with_logits"
    _check(name, input, target, reduction)
    size = maximum(input, -input)
    softplus = (1.0 + (-size).exp()).log() + (size - input) * 0.5
    weight = 1.0 if pos_weight is None else pos_weight
    loss = weight * target * softplus + (1 - target) * (input + softplus)
    return reduced(name, loss, reduction)


def counted_labels(labels, classes, ignore_index):
    counted, bad = [], []
    for label in labels.tolist():
        counted.append(label != ignore_index)
        if counted[-1] and label not in range(classes):
            bad.append(label)
    if bad:
        worst = min(bad) if min(bad) < 0 else max(bad)
        raise DataError(f"label {worst} is none of the {classes} classes")
    return None if all(counted) else np.array(counted)


class CrossEntropy:
    def composite(self, logits, labels):
        counted = labels != self.ignore_index
        log_p = log_softmax(logits, 1)
        index = where(counted, labels, 0).reshape(-1, 1)
        picked = gather(log_p, 1, index).sum(1)
        if self.label_smoothing:
            picked = picked + (log_p.mean(1) - picked) * self.label_smoothing
        loss = where(counted, -picked, 0.0)
        if self.reduction == "mean":
            loss = loss * (1.0 / counted.sum().to(logits.dtype))
        return loss if self.reduction == "none" else loss.sum()

    def row_losses(self, logits, targets):
        loss = np.zeros(len(logits), logits.dtype)
        e = np.zeros_like(logits)
        for i, (row, target) in enumerate(zip(logits, targets, strict=True)):
            away = row - max(row)
            e[i] = np.exp(away)
            minus_log_p = np.log(sum(e[i])) - away
            loss[i] = (1 - self.label_smoothing) * minus_log_p[target]
            loss[i] += self.label_smoothing * sum(minus_log_p) / len(row)
        return loss, e, e.sum(1).reshape(-1, 1)

    def forward(self, logits, labels):
        counted = counted_labels(labels, logits.shape[1], self.ignore_index)
        targets = labels.copy()
        if counted is not None:
            targets[~counted] = logits.shape[1] - 1
        loss, e, total = self.row_losses(logits, targets)
        for i in range(len(loss)):
            if counted is not None and not counted[i]:
                loss[i] = 0
        share = logits.dtype.type(1)
        if self.reduction == "mean":
            share /= _count(labels, counted)
            share = logits.dtype.type(share)
        out = loss if self.reduction == "none" else (loss * share).sum()
        return out, self.gradient(e, total, targets, counted, share)

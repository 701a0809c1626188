"""References of the fused ops (softmax, losses, norms, attention, activations, updates) in plain formulas."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np

from tests.ops.reference import Array, each, reference


def _gate(x: complex) -> complex:
    return (1 + cmath.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


@reference("GeluTanh")
def gelu_tanh(op: Any, x: Array) -> tuple[Array, Array]:
    return each(lambda op, x: x * _gate(x).real)(op, x), each(lambda op, x: _gate(x).real)(op, x)


@reference("GeluTanhGrad")
def gelu_tanh_grad(op: Any, g: Array, x: Array, s: Array) -> Array:
    du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return g * s + g * x * 2 * s * (1 - s) * du


def _rows(a: Array, axis: int) -> tuple[Array, list[tuple[int, ...]]]:
    """The axis moved last, and the indices of the rows along it."""
    moved = np.moveaxis(a, axis, -1)
    return moved, list(np.ndindex(moved.shape[:-1]))


@reference("Softmax")
def softmax(op: Any, a: Array) -> Array:
    moved, rows = _rows(a, op.axis)
    out = np.empty(moved.shape)
    for at in rows:
        powers = [math.exp(x) for x in moved[at]]
        out[at] = [p / math.fsum(powers) for p in powers]
    return np.moveaxis(out, -1, op.axis)


@reference("LogSoftmax")
def log_softmax(op: Any, a: Array) -> Array:
    return np.log(softmax(op, a))


def _target(op: Any, label: int, classes: int) -> list[float]:
    """The distribution that a label stands for, nothing at all for one that is ignored."""
    if label == op.ignore_index:
        return [0.0] * classes
    return [(1 - op.label_smoothing) * (c == label) + op.label_smoothing / classes for c in range(classes)]


@reference("CrossEntropy")
def cross_entropy(op: Any, logits: Array, labels: Array) -> tuple[Any, Array]:
    powers = np.exp(logits)
    p = powers / powers.sum(1, keepdims=True)
    targets = np.array([_target(op, label, logits.shape[1]) for label in labels.tolist()])
    loss = -(targets * np.log(p)).sum(1)
    counted = np.array([label != op.ignore_index for label in labels.tolist()])
    share = 1 / counted.sum() if op.reduction == "mean" else 1.0
    gradient = (p - targets) * counted[:, None] * share
    return {"none": loss, "sum": loss.sum(), "mean": loss.sum() * share}[op.reduction], gradient


@reference("LayerNorm")
def layer_norm(op: Any, x: Array, weight: Array, bias: Array) -> tuple[Array, Array, Array]:
    axes = tuple(range(x.ndim - weight.ndim, x.ndim))
    average, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    out = (x - average) / np.sqrt(variance + op.eps) * weight + bias
    return out, average.reshape(-1, 1), 1 / np.sqrt(variance + op.eps).reshape(-1, 1)


@reference("LayerNormGrad")
def layer_norm_grad(
    op: Any, g: Array, x: Array, weight: Array, average: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    n = weight.size
    rows, scaled = x.reshape(-1, n), g.reshape(-1, n) * weight.reshape(-1)
    dx = np.empty(rows.shape)
    for i, row in enumerate(rows):
        xhat = (row - average[i]) * rstd[i]
        jacobian = (np.eye(n) - 1 / n - np.outer(xhat, xhat) / n) * rstd[i]
        dx[i] = scaled[i] @ jacobian
    xhats = ((rows - average) * rstd).reshape(-1, *weight.shape)
    stacked = g.reshape(-1, *weight.shape)
    return dx.reshape(x.shape), np.einsum("r...,r...->...", stacked, xhats), np.einsum("r...->...", stacked)


@reference("Attention")
def attention(op: Any, q: Array, k: Array, v: Array, mask: Array | None = None) -> tuple[Array, Array]:
    batch, heads, t, _ = q.shape
    s = k.shape[2]
    out, p = np.zeros((batch, heads, t, v.shape[3])), np.zeros((batch, heads, t, s))
    allowed = np.ones(p.shape, bool) if mask is None else np.broadcast_to(mask, p.shape)
    for b, h, i in np.ndindex(batch, heads, t):
        last = i + s - t if op.causal else s - 1
        seen = [j for j in range(s) if j <= last and allowed[b, h, i, j]]
        powers = {j: math.exp(float(np.dot(q[b, h, i], k[b, h, j])) * op.scale) for j in seen}
        for j in seen:
            p[b, h, i, j] = powers[j] / math.fsum(powers.values())
            out[b, h, i] += p[b, h, i, j] * v[b, h, j]
    return out, p


@reference("AttentionGrad")
def attention_grad(op: Any, g: Array, q: Array, k: Array, v: Array, p: Array) -> tuple[Array, Array, Array]:
    dq, dk, dv = np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
    for b, h, i in np.ndindex(p.shape[:3]):
        row = p[b, h, i]
        ds = (np.diag(row) - np.outer(row, row)) @ (v[b, h] @ g[b, h, i])
        dq[b, h, i] = ds @ k[b, h] * op.scale
        dk[b, h] += np.outer(ds, q[b, h, i]) * op.scale
        dv[b, h] += np.outer(row, g[b, h, i])
    return dq, dk, dv


# ---------------------------------------------------------------- updates, by the formulas of their papers


def _sgd(op: Any, rate: float, p: float, g: float, b: float | None) -> tuple[float, float]:
    """New parameter and buffer of one number: b is the running sum of gradients, absent without momentum."""
    g += op.weight_decay * p
    if b is None:
        return p - rate * g, 0.0
    b = op.momentum * b + g
    return p - rate * (g + op.momentum * b if op.nesterov else b), b


@reference("SGDUpdate")
def sgd_update(op: Any, lr: Array, *arrays: Array) -> Array:
    n = op.count
    for i in range(n):
        p, g = arrays[i], arrays[n + i]
        b = arrays[2 * n + i] if op.momentum else None
        for at in np.ndindex(p.shape):
            p[at], buffer = _sgd(op, float(lr), p[at], g[at], None if b is None else b[at])
            if b is not None:
                b[at] = buffer
    return arrays[0]


@reference("AdamUpdate")
def adam_update(op: Any, lr: Array, *arrays: Array) -> Array:
    n, rate, (b1, b2) = op.count, float(lr), op.betas
    for i in range(n):
        p, g, m, v, step = (arrays[i + n * column] for column in range(5))
        step += 1
        for at in np.ndindex(p.shape):
            slope = g[at] if op.decoupled else g[at] + op.weight_decay * p[at]
            shrunk = p[at] * (1 - rate * op.weight_decay) if op.decoupled else p[at]
            m[at] = b1 * m[at] + (1 - b1) * slope
            v[at] = b2 * v[at] + (1 - b2) * slope**2
            first, second = m[at] / (1 - b1 ** int(step)), v[at] / (1 - b2 ** int(step))
            p[at] = shrunk - rate * first / (math.sqrt(second) + op.eps)
    return arrays[0]


@reference("GlobalNorm")
def global_norm(op: Any, *gradients: Array) -> Any:
    return np.array(math.hypot(*(x for g in gradients for x in g.reshape(-1).tolist())))


@reference("ScaleAll")
def scale_all(op: Any, factor: Array, *tensors: Array) -> Array:
    for x in tensors:
        for at in np.ndindex(x.shape):
            x[at] = x[at] * float(factor)
    return tensors[0]

"""A Llama written a second time, in NumPy and float64, for weights by their names in GGUF files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def turned(x: Array, base: float, halves: bool) -> Array:
    """x: (t, heads, dim), each pair of features as a complex number times one of length 1.

    A pair is two neighbours, or, as Hugging Face has it, feature i and feature i + dim / 2.
    """
    t, _, dim = x.shape
    a, b = (x[..., : dim // 2], x[..., dim // 2 :]) if halves else (x[..., ::2], x[..., 1::2])
    angle = np.arange(t)[:, None] / base ** (np.arange(dim // 2) * 2 / dim)
    z = (a + 1j * b) * np.exp(1j * angle)[:, None]
    if halves:
        return np.concatenate([z.real, z.imag], -1)
    return np.stack([z.real, z.imag], -1).reshape(x.shape)


def attended(q: Array, k: Array, v: Array) -> Array:
    """q: (t, heads, dim), k and v: (t, kv_heads, dim): each head by itself, each position by itself."""
    out = np.zeros(q.shape)
    group = q.shape[1] // k.shape[1]
    for head in range(q.shape[1]):
        keys, values = k[:, head // group], v[:, head // group]
        for i in range(len(q)):
            scores = keys[: i + 1] @ q[i, head] / np.sqrt(q.shape[2])
            p = np.exp(scores - scores.max())
            out[i, head] = p @ values[: i + 1] / p.sum()
    return out


def logits(weights: Mapping[str, Array], config: Mapping[str, Any], ids: Any, halves: bool = False) -> Array:
    """Logits (t, vocab_size) of one sequence of ids."""
    w = {name.removesuffix(".weight"): array.astype(np.float64) for name, array in weights.items()}
    t, heads, eps = len(ids), config["heads"], config["eps"]
    x = w["token_embd"][np.asarray(ids)]
    for i in range(config["layers"]):
        y = rms_norm(x, w[f"blk.{i}.attn_norm"], eps)
        q, k, v = (y @ w[f"blk.{i}.attn_{name}"].T for name in "qkv")
        q, k, v = (
            z.reshape(t, n, -1) for z, n in ((q, heads), (k, config["kv_heads"]), (v, config["kv_heads"]))
        )
        q, k = (turned(z, config["base"], halves) for z in (q, k))
        x = x + attended(q, k, v).reshape(t, -1) @ w[f"blk.{i}.attn_output"].T
        y = rms_norm(x, w[f"blk.{i}.ffn_norm"], eps)
        gate = y @ w[f"blk.{i}.ffn_gate"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w[f"blk.{i}.ffn_up"].T)) @ w[f"blk.{i}.ffn_down"].T
    found: Array = rms_norm(x, w["output_norm"], eps) @ w["token_embd" if config["tied"] else "output"].T
    return found

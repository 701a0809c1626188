"""What the ops of language models compute, written a second time: one number after the other."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from tests.ops.reference import Array, reference

TINY = 2.0**-100


@reference("Rotary")
def rotary(op: Any, x: Array, cos: Array, sin: Array, positions: Array) -> Array:
    out = np.zeros(x.shape)
    for b, h, t, i in np.ndindex(*x.shape[:3], x.shape[3] // 2):
        p = positions[b if len(positions) > 1 else 0, t]
        angle = complex(cos[p, i], -sin[p, i] if op.back else sin[p, i])
        turned = complex(x[b, h, t, 2 * i], x[b, h, t, 2 * i + 1]) * angle
        out[b, h, t, 2 * i], out[b, h, t, 2 * i + 1] = turned.real, turned.imag
    return out


@reference("QuantizeBlocks")
def quantize_blocks(op: Any, x: Array) -> tuple[Array, Array, Array]:
    codes = np.zeros(x.shape, np.int8)
    scales, sums = np.zeros((2, *x.shape[:-1], x.shape[-1] // 32))
    for at in np.ndindex(scales.shape):
        part = (*at[:-1], slice(32 * at[-1], 32 * at[-1] + 32))
        largest = max(abs(v) for v in x[part].tolist())
        if not math.isfinite(largest):
            scales[at] = sums[at] = math.nan
            continue
        scales[at] = scale = largest / 127 if largest >= TINY else 1.0
        codes[part] = [round(v / scale) for v in x[part].tolist()]
        sums[at] = scale * sum(codes[part].tolist())
    return codes, scales, sums


def weight(op: Any, w: Array, output: int, k: int) -> tuple[float, float]:
    """One weight out of its panel, byte by byte: without its minimum, and that."""
    block = w[output // 16, k // 32].tobytes()
    lane, i = output % 16, k % 32
    codes = 512 if op.bits == 8 else 256
    if op.bits == 8:
        code = block[i // 4 * 64 + lane * 4 + i % 4]
    else:
        code = block[i % 16 // 4 * 64 + lane * 4 + i % 4] >> (4 if i >= 16 else 0) & 15
    (scale,) = struct.unpack_from("<e", block, codes + 2 * lane)
    if op.minimum:
        return code * scale, struct.unpack_from("<e", block, codes + 32 + 2 * lane)[0]
    return (code - 2 ** (op.bits - 1)) * scale, 0.0


@reference("BlockLinear")
def block_linear(op: Any, x: Array, scale: Array, sums: Array, w: Array) -> Array:
    rows = x.astype(float) * np.repeat(scale, 32, -1)
    matrix = np.array([[weight(op, w, j, k) for k in range(x.shape[-1])] for j in range(op.n)])
    return rows @ matrix[..., 0].T + sums @ matrix[:, ::32, 1].T


@reference("BlockLookup")
def block_lookup(op: Any, w: Array, ids: Array) -> Array:
    k = w.shape[1] * 32
    return np.array([[sum(weight(op, w, i, j)) for j in range(k)] for i in ids.ravel()]).reshape(
        *ids.shape, k
    )


def _codes(row: list[float]) -> tuple[list[int], int]:
    """Codes of a vector and the exponent of its scale, by trying."""
    if not all(map(math.isfinite, row)):
        return [0] * len(row), 255
    exponent = 1
    while max(abs(v) for v in row) > 127 * 2.0 ** (exponent - 127):
        exponent += 1
    return [round(v / 2.0 ** (exponent - 127)) for v in row], exponent


def _place(op: Any, page: int, position: int, dropped: int) -> int | None:
    """Where a position is in its row of the table; None where it was dropped."""
    kept = math.ceil(op.sinks / page) * page
    if position < kept:
        return position
    return position - dropped if position - dropped >= kept else None


@reference("CacheWrite")
def cache_write(op: Any, *inputs: Array) -> Array:
    keys, values, k, v, table, starts, dropped, *scales = inputs
    page = keys.shape[3]
    for b, h, i in np.ndindex(k.shape[:3]):
        place = _place(op, page, int(starts[b]) + i, int(dropped[b]))
        assert place is not None
        number, column = table[b, place // page], place % page
        rows = [k[b, h, i].tolist(), v[b, h, i].tolist()]
        for which, (row, scale) in enumerate(zip(rows, scales or (None, None), strict=True)):
            if scale is not None:
                rows[which], exponent = _codes(row)
                scale[h, number, column] = exponent - 256 if exponent > 127 else exponent
        keys[h, number, :, column], values[h, number, column] = rows
    return keys


@reference("PagedAttention")
def paged_attention(op: Any, *inputs: Array) -> Array:
    q, keys, values, table, starts, dropped, *scales = inputs
    page, group, out = keys.shape[3], q.shape[1] // keys.shape[0], np.zeros(q.shape)
    for b, h, i in np.ndindex(q.shape[:3]):
        here = int(starts[b]) + i
        found = []
        for position in range(here + 1):
            place = _place(op, page, position, int(dropped[b]))
            hidden = op.window and here - position >= op.window and position >= op.sinks
            if place is None or hidden:
                continue
            at = h // group, table[b, place // page], place % page
            k, v = keys[at[0], at[1], :, at[2]].astype(float), values[at].astype(float)
            if scales:
                k, v = (a * 2.0 ** (int(s[at]) % 256 - 127) for a, s in zip((k, v), scales, strict=True))
            found.append((op.scale * float(q[b, h, i] @ k), v))
        top = max(score for score, _ in found)
        weights = [math.exp(score - top) for score, _ in found]
        out[b, h, i] = sum(w * v for w, (_, v) in zip(weights, found, strict=True)) / sum(weights)
    return out

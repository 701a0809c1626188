"""Weights in blocks of 32 inputs, of four or eight bits, as files of language models hold them.

A weight is scale * code + minimum, where scale and minimum belong to a block of 32 inputs of one output. The
ops here multiply the codes themselves: x becomes codes too, by blocks of 32, and the products are exact.

Sixteen outputs make a panel, and lie beside each other as the machine reads them: for each block of inputs
the codes of all sixteen, four bytes of each after the other, then their scales and minima in float16. One
array holds it all, read from front to back, and nothing is stored twice. Of four bits, a byte holds the
codes of input i, low, and of input i + 16 of the block, high.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytorch.errors import DTypeError, ShapeError
from tinytorch.ops.base import Op, Sample
from tinytorch.ops.quantize import LARGEST, TINY, require_dtype
from tinytorch.ops.spec import Array, Spec, float32, float64, int8

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

BLOCK = 32
"""Inputs that share a scale."""
PANEL = 16
"""Outputs beside each other."""


@dataclass(frozen=True)
class Format:
    """How blocks are laid out: bits of a code, and whether each has a minimum.

    Without one, a code stands for (code - middle) * scale with the middle 8 or 128.
    """

    bits: int
    minimum: bool

    @property
    def middle(self) -> int:
        """The code of 0 where blocks have no minimum."""
        return 1 << (self.bits - 1)

    @property
    def code_bytes(self) -> int:
        """Bytes of the codes of a block of a panel."""
        return PANEL * BLOCK * self.bits // 8

    @property
    def block_bytes(self) -> int:
        """Bytes of a block of a panel, scales and minima included."""
        return self.code_bytes + 2 * PANEL * (1 + self.minimum)

    def shape(self, n: int, k: int) -> tuple[int, int, int]:
        """The shape of the array for n outputs of k inputs: (panels, blocks, bytes)."""
        return -(-n // PANEL), k // BLOCK, self.block_bytes

    def join(self, codes: Array) -> Array:
        """Codes: unsigned (n, k), as the bytes of blocks: uint8 (n, k / 32, 16 or 32)."""
        blocks = codes.reshape(len(codes), -1, BLOCK)
        return blocks if self.bits == 8 else blocks[..., :16] | (blocks[..., 16:] << 4)

    def pack(self, blocks: Array, scale: Array, minimum: Array | None = None) -> Array:
        """Bytes of blocks as `join` gives them, scale and minimum: float16 (n, k / 32), as one array of int8.

        >>> form = Format(4, minimum=True)
        >>> form.pack(form.join(np.ones((1, 32), np.uint8)), *np.ones((2, 1, 1), np.float16)).shape
        (1, 1, 320)
        """
        n, count, size = blocks.shape
        panels = -(-n // PANEL)
        out = np.zeros((panels, count, self.block_bytes), np.uint8)
        rows = [scale] if minimum is None else [scale, minimum]
        beside = out[..., self.code_bytes :].view(np.float16).reshape(panels, count, len(rows), PANEL)
        fours = out[..., : self.code_bytes].view(np.uint32).reshape(panels, count, size // 4, PANEL)
        whole = n // PANEL
        for begin, end, outputs in ((0, whole, PANEL), (whole, panels, n % PANEL)):
            if begin == end:
                continue
            part = slice(begin * PANEL, begin * PANEL + (end - begin) * outputs)
            given = (
                np.ascontiguousarray(blocks[part]).view(np.uint32).reshape(end - begin, outputs, count, -1)
            )
            fours[begin:end, ..., :outputs] = given.transpose(0, 2, 3, 1)
            for i, row in enumerate(rows):
                beside[begin:end, :, i, :outputs] = (
                    row[part].reshape(end - begin, outputs, count).swapaxes(1, 2)
                )
        return out.view(np.int8)

    def unpack(self, packed: Array, n: int) -> tuple[Array, Array, Array]:
        """Codes: uint8 (n, k), scales and minima: float32 (n, k / 32); without minima, -middle * scale."""
        panels, count, _ = packed.shape
        raw = np.ascontiguousarray(packed).view(np.uint8)
        fours = raw[..., : self.code_bytes].reshape(panels, count, self.bits, PANEL, 4)
        blocks = fours.transpose(0, 3, 1, 2, 4).reshape(panels * PANEL, count, 4 * self.bits)[:n]
        codes = blocks if self.bits == 8 else np.concatenate([blocks & 15, blocks >> 4], -1)

        def beside(i: int) -> Array:
            begin = self.code_bytes + 2 * PANEL * i
            part = np.ascontiguousarray(raw[..., begin : begin + 2 * PANEL]).view(np.float16)
            return part.transpose(0, 2, 1).reshape(panels * PANEL, count)[:n].astype(np.float32)

        scale = beside(0)
        minimum = beside(1) if self.minimum else scale * np.float32(-self.middle)
        return codes.reshape(n, count * BLOCK), scale, minimum

    def dequantize(self, packed: Array, n: int) -> Array:
        """The weights that the blocks stand for: float32 (n, k)."""
        codes, scale, minimum = self.unpack(packed, n)
        blocks = codes.reshape(n, codes.shape[1] // BLOCK, BLOCK).astype(np.float32)
        out: Array = (blocks * scale[..., None] + minimum[..., None]).reshape(codes.shape)
        return out

    def require(self, op: str, w: Spec, n: int) -> int:
        """The inputs of packed weights; raises DTypeError or ShapeError for what is packed otherwise."""
        if self.bits not in (4, 8) or n < 1:
            raise ShapeError(f"{op}: {n} outputs of {self.bits} bits; expected one or more, of 4 or 8 bits")
        require_dtype(op, "w", w, int8)
        if w.ndim != 3 or w.shape[0] != -(-n // PANEL) or w.shape[2] != self.block_bytes:
            expected = self.shape(n, BLOCK)
            raise ShapeError(
                f"{op}: blocks {w.shape} of {n} outputs with {self.bits} bits; expected "
                f"({expected[0]}, blocks, {expected[2]})"
            )
        return w.shape[1] * BLOCK


def _require_float(op: str, what: str, spec: Spec) -> None:
    if spec.dtype not in (float32, float64):
        raise DTypeError(f"{op}: {what} is {spec.dtype}; float32 is needed")


class QuantizeBlocks(Op):
    """codes = round(x / scale), scale = the largest |x| of each 32 / 127; and scale * the sum of the codes

    Three outputs: codes int8 (..., k), scales and sums (..., k / 32). A block of zeros has scale 1; one that
    holds NaN or infinity has scale and sum NaN and codes 0.
    """

    outputs = 3
    samples: ClassVar[Any] = [
        Sample(None, np.sin(np.arange(128, dtype=np.float32)).reshape(2, 64), differentiable=False),
        Sample(None, np.zeros((1, 2, 32), np.float32), differentiable=False),
        Sample(None, np.zeros((2, 0, 64), np.float32), differentiable=False),
        Sample(None, np.where(np.arange(64) == 40, np.inf, 2.0).astype(np.float32), differentiable=False),
    ]

    def infer(self, x: Spec) -> tuple[Spec, Spec, Spec]:
        _require_float("quantize_blocks", "x", x)
        if x.ndim < 1 or x.shape[-1] == 0 or x.shape[-1] % BLOCK:
            raise ShapeError(f"quantize_blocks: x {x.shape}; rows are cut into blocks of {BLOCK}")
        beside = Spec((*x.shape[:-1], x.shape[-1] // BLOCK), x.dtype)
        return Spec(x.shape, int8), beside, beside

    def forward(self, x: Array) -> Any:
        """(codes, scales, sums) of x: (..., k): int8 (..., k), and (..., k / 32) twice in the dtype of x."""
        with np.errstate(invalid="ignore"):
            blocks = x.reshape(*x.shape[:-1], x.shape[-1] // BLOCK, BLOCK)
            largest = np.abs(blocks).max(-1)
            scale = np.where(largest < TINY, x.dtype.type(1), largest / x.dtype.type(LARGEST))
            scale = np.where(np.isfinite(largest), scale, x.dtype.type(np.nan))
            code = np.rint(blocks / scale[..., None])
            codes = np.where(np.isnan(code), 0, code).astype(np.int8)
        return codes.reshape(x.shape), scale, codes.sum(-1, dtype=np.int32).astype(x.dtype) * scale

    def flops(self, out: Any, x: Spec) -> int:
        return 5 * x.size


@dataclass
class BlockLinear(Op):
    """out[i, j] = the sum over blocks b of scale_x[i, b] * scale_w[j, b] * (codes_x . codes_w)
    + minimum_w[j, b] * sum_x[i, b]

    x: int8 (..., k), its scales and sums (..., k / 32), as `QuantizeBlocks` gives them; w: n outputs in
    panels (see `Format`); out: (..., n) in the dtype of the scales. The products of codes are exact, blocks
    are summed in order.
    """

    n: int
    bits: int = 4
    minimum: bool = True

    @property
    def format(self) -> Format:
        """How the weights are laid out."""
        return Format(self.bits, self.minimum)

    def infer(self, x: Spec, scale: Spec, sums: Spec, w: Spec) -> Spec:
        require_dtype("block_linear", "x", x, int8)
        k = self.format.require("block_linear", w, self.n)
        if x.ndim < 1 or x.shape[-1] != k:
            raise ShapeError(f"block_linear: x {x.shape} and weights of {k} inputs")
        for what, beside in (("scales", scale), ("sums", sums)):
            _require_float("block_linear", what, beside)
            if beside.shape != (*x.shape[:-1], k // BLOCK):
                raise ShapeError(
                    f"block_linear: x {x.shape} has {what} {beside.shape}; one a block is needed"
                )
        return Spec((*x.shape[:-1], self.n), scale.dtype)

    def forward(self, x: Array, scale: Array, sums: Array, w: Array) -> Any:
        """(..., n): for each block an exact product of codes, times both scales, and the minimum."""
        codes, w_scale, minimum = self.format.unpack(w, self.n)
        rows = x.reshape(x.size // x.shape[-1], x.shape[-1]).astype(np.float32)
        scale, sums = (a.reshape(len(rows), x.shape[-1] // BLOCK) for a in (scale, sums))
        out = np.zeros((len(rows), self.n), scale.dtype)
        middle = 0 if self.minimum else self.format.middle
        for b in range(w_scale.shape[1]):
            part = slice(b * BLOCK, (b + 1) * BLOCK)
            total = rows[:, part] @ (
                codes[:, part].T.astype(np.float32) - middle
            )  # whole numbers below 2**24
            out += total * (scale[:, b, None] * w_scale[:, b])
            if self.minimum:
                out += sums[:, b, None] * minimum[:, b]
        return out.reshape(*x.shape[:-1], self.n)

    def matmul_flops(self, out: Spec, x: Spec, *rest: Spec) -> int:
        return 2 * out.size * x.shape[-1]

    def flops(self, out: Spec, x: Spec, *rest: Spec) -> int:
        return self.matmul_flops(out, x) + out.size * (3 + 2 * self.minimum) * (x.shape[-1] // BLOCK)


@dataclass
class BlockLookup(Op):
    """out = the weights of each id's output: ids of any shape, w: n rows in panels, out: (*ids.shape, k)"""

    n: int
    bits: int = 8
    minimum: bool = False

    @property
    def format(self) -> Format:
        """How the table is laid out."""
        return Format(self.bits, self.minimum)

    def infer(self, w: Spec, ids: Spec) -> Spec:
        k = self.format.require("block_lookup", w, self.n)
        if ids.dtype.kind != "i":
            raise DTypeError(f"block_lookup: ids are integers, not {ids.dtype}")
        return Spec((*ids.shape, k), float32)

    def forward(self, w: Array, ids: Array) -> Any:
        """(*ids.shape, k) float32: scale * code + minimum of each id's row; raises ShapeError."""
        if ids.size and not 0 <= ids.min() <= ids.max() < self.n:
            worst = ids.min() if ids.min() < 0 else ids.max()
            raise ShapeError(f"embedding: id {worst} is out of range for {self.n} rows (0 to {self.n - 1})")
        flat = ids.reshape(-1)
        each = self.format.dequantize(w[flat // PANEL], len(flat) * PANEL)
        rows = each[np.arange(len(flat)) * PANEL + flat % PANEL]
        return rows.reshape(*ids.shape, w.shape[1] * BLOCK)

    def flops(self, out: Spec, *inputs: Spec) -> int:
        return (1 + self.minimum) * out.size

    def bytes(self, out: Spec, w: Spec, ids: Spec) -> int:
        return ids.nbytes + ids.size * w.shape[1] * w.shape[2] // PANEL + out.nbytes


def _sample(form: Format, n: int, k: int) -> Array:
    rng = np.random.default_rng(n)
    codes = rng.integers(0, 1 << form.bits, (n, k), np.uint8)
    beside = rng.normal(size=(2, n, k // BLOCK)).astype(np.float16)
    return form.pack(form.join(codes), beside[0], beside[1] if form.minimum else None)


def _codes(*shape: int) -> tuple[Array, Array, Array]:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found: tuple[Array, Array, Array] = QuantizeBlocks().forward(x)
    return found


BlockLinear.samples = [
    Sample(BlockLinear(n, *form), *_codes(*rows, k), _sample(Format(*form), n, k), differentiable=False)
    for n, form, rows, k in (
        (16, (4, True), (1,), 32),
        (35, (4, True), (7,), 64),
        (20, (4, False), (2, 3), 96),
        (33, (8, False), (5,), 64),
        (9, (8, False), (1,), 128),
        (17, (8, True), (4,), 32),
        (17, (4, True), (2, 0), 64),
    )
]
BlockLookup.samples = [
    Sample(
        BlockLookup(n, *form),
        _sample(Format(*form), n, 64),
        ids,
        differentiable=False,
    )
    for n, form, ids in (
        (20, (8, False), np.array([[0, 19], [16, 3]])),
        (33, (4, True), np.array([[0, 19], [32, 3]])),
        (20, (4, False), np.array([19])),
        (20, (8, False), np.zeros((2, 0), np.int64)),
    )
]

# ---------------------------------------------------------------- the functions people call

_quantize_blocks = QuantizeBlocks()


def block_linear(x: Tensor, op: BlockLinear, w: Tensor) -> Tensor:
    """What x @ w^T is about, x: float32 (..., k), on codes of both; `op` says how w is packed.

    >>> form = Format(4, minimum=False)
    >>> w = form.pack(form.join(np.full((2, 32), 10, np.uint8)), np.full((2, 1), 0.5, np.float16))
    >>> block_linear(tt.ones(1, 32), BlockLinear(2, 4, minimum=False), tt.Tensor(w))
    Tensor([[32., 32.]])
    """
    codes, scale, sums = _quantize_blocks.all(x)
    return op(codes, scale, sums, w)

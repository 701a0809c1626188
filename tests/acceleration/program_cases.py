"""Small functions of every kind that programs are made of, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytorch import (
    Generator,
    Tensor,
    concat,
    enable_grad,
    erf,
    grad,
    log,
    maximum,
    minimum,
    no_grad,
    sigmoid,
    sin,
    sqrt,
    where,
)
from tinytorch.acceleration.graph import Graph
from tinytorch.acceleration.native.layout import Layout
from tinytorch.acceleration.native.lower import Lowered, lower
from tinytorch.acceleration.passes import optimise
from tinytorch.acceleration.trace import trace
from tinytorch.caching.pool import PagePool
from tinytorch.caching.traced import TracedCache
from tinytorch.models import CNN, GPT, MLP
from tinytorch.models.blocks import BlockEmbedding, BlockLinearLayer
from tinytorch.models.llama import Llama
from tinytorch.nn import BatchNorm2d, Conv2d, Dropout, Embedding, Linear, Module, functional
from tinytorch.ops import arithmetic, quantize, quantized, reduce, sparse
from tinytorch.ops.blocks import Format
from tinytorch.ops.index import take
from tinytorch.ops.spec import Array
from tinytorch.optim import SGD, Adam, AdamW


class Rows:
    """Random inputs from a seed."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, *shape: int, dtype: Any = np.float32, grad: bool = False) -> Tensor:
        """Normal numbers."""
        return Tensor(self.rng.standard_normal(shape).astype(dtype), requires_grad=grad)

    def ids(self, high: int, *shape: int) -> Tensor:
        """Integers from 0 to high - 1."""
        return Tensor(self.rng.integers(0, high, shape))


@dataclass
class Case:
    """A function with arguments, traced once; `layout` is the plan of its program."""

    name: str
    function: Callable[..., Tensor | tuple[Tensor, ...]]
    args: Sequence[Tensor]
    train: bool = False
    """Whether it is traced with gradients on."""
    modules: Sequence[Module] = ()
    optimizers: Sequence[Any] = ()
    graph: Graph = field(init=False)
    """As it was traced."""
    layout: Layout = field(init=False)

    def __post_init__(self) -> None:
        if self.optimizers:
            self.function(*self.args)  # a first step makes the optimizer's state
        with enable_grad() if self.train else no_grad():
            traced = trace(self.function, self.args)
        assert not traced.refusal, traced.refusal
        count = 1 if isinstance(traced.result, Tensor) else len(traced.result)
        self.graph = traced.graph.with_calls(traced.graph.calls, traced.graph.outputs[:count])
        self.layout = Layout(lower(optimise(self.graph)))

    @property
    def lowered(self) -> Lowered:
        """The kernels."""
        return self.layout.lowered

    def inputs(self) -> list[Array]:
        """Others than it was traced with: half the arguments."""
        arrays = [t.data for t in self.args]
        return [np.array(a * a.dtype.type(0.5) if a.dtype.kind == "f" else a) for a in arrays]


def with_gradients(function: Callable[..., Any], *others: Tensor) -> Callable[..., tuple[Tensor, ...]]:
    """A function that gives the results of another and gradients of its arguments and of other tensors."""

    def both(*args: Tensor) -> tuple[Tensor, ...]:
        found = function(*args)
        results = [found] if isinstance(found, Tensor) else list(found)
        rng = np.random.default_rng(1)
        weights = [Tensor(rng.standard_normal(r.shape).astype(r.dtype.name)) for r in results]
        total = sum(((r * r * w).sum() for r, w in zip(results, weights, strict=True)), start=Tensor(0.0))
        wanted = [*(t for t in args if t.requires_grad), *others]
        gradients = [g for g in grad(total, wanted) if g is not None]
        assert len(gradients) == len(wanted)
        return (*(r.detach() for r in results), *gradients)

    return both


# ---------------------------------------------------------------- models


def step_of(model: Module, optimizer: Any, classes: int = 0) -> Callable[[Tensor, Tensor], Tensor]:
    """A training step by cross-entropy; with `classes` logits and labels are flattened."""

    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        logits = model(x)
        loss = (
            functional.cross_entropy(logits.reshape(-1, classes), y.reshape(-1))
            if classes
            else functional.cross_entropy(logits, y)
        )
        loss.backward()
        optimizer.step()
        return loss

    return step


def stepping(name: str, model: Module, optimizer: Any, x: Tensor, y: Tensor, classes: int = 0) -> Case:
    """A case of a training step."""
    return Case(name, step_of(model, optimizer, classes), [x, y], True, [model], [optimizer])


class Normalised(Module):
    """Convolution, batch norm, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = Conv2d(3, 6, 3, padding=1, stride=2)
        self.norm = BatchNorm2d(6)
        self.drop = Dropout(0.3)
        self.fc = Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.norm(self.conv(x)).relu().mean((2, 3))
        out: Tensor = self.fc(self.drop(pooled))
        return out


class Heads(Module):
    """Attention over parts of one projection, with a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = Linear(8, 24)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        parts = self.qkv(x).reshape(2, 5, 3, 2, 4).permute((2, 0, 3, 1, 4))
        return functional.attention(parts[0], parts[1], parts[2], mask)


class Deep(Module):
    """Convolutions with enough channels for transformed filters, one of them with a max-pool."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.wide = Conv2d(8, 9, 3, padding=1), Conv2d(9, 8, 3), Conv2d(8, 20, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.second(functional.max_pool2d(self.first(x).relu(), 2)), self.wide(x)


def models() -> list[Case]:
    """Forward passes and training steps of models."""
    rows, found = Rows(), []
    x, y = rows(7, 12), rows.ids(5, 7)
    mlp = MLP((12, 20, 5), generator=Generator(0))
    found.append(Case("mlp", mlp, [x], modules=[mlp]))
    found.append(Case("mlp one row", mlp, [rows(1, 12)], modules=[mlp]))
    found.append(stepping("mlp sgd", mlp, SGD(mlp.parameters(), lr=0.1), x, y))
    momentum = SGD(mlp.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    found.append(stepping("mlp momentum", mlp, momentum, x, y))
    cnn = CNN(1, 5, image_size=8, generator=Generator(1))
    image, kinds = rows(2, 1, 8, 8), rows.ids(5, 2)
    found.append(Case("cnn", cnn, [image], modules=[cnn]))
    found.append(stepping("cnn sgd", cnn, SGD(cnn.parameters(), lr=0.1), image, kinds))
    gpt = GPT(vocab_size=17, context=8, width=16, layers=1, heads=2, generator=Generator(2))
    ids, after = rows.ids(17, 2, 8), rows.ids(17, 2, 8)
    found.append(Case("gpt", gpt, [ids], modules=[gpt]))
    # a large eps: parameters without a gradient would else move by the signs of rounding errors
    found.append(stepping("gpt adamw", gpt, AdamW(gpt.parameters(), lr=0.01, eps=0.01), ids, after, 17))
    adam = Adam(gpt.parameters(), lr=0.01, eps=0.01, weight_decay=0.1)
    found.append(stepping("gpt adam", gpt, adam, ids, after, 17))
    norm = Normalised()
    batch, four = rows(3, 3, 7, 7), rows.ids(4, 3)
    found.append(stepping("batch norm", norm, SGD(norm.parameters(), lr=0.1), batch, four))
    found.append(Case("batch norm, training", norm, [batch], modules=[norm]))
    still = Normalised().eval()
    found.append(Case("batch norm, evaluation", still, [batch], modules=[still]))
    heads = Heads()
    mask = Tensor(rows.rng.random((2, 1, 5, 5)) > 0.3)
    both = with_gradients(heads, *heads.parameters())
    found.append(Case("attention", both, [rows(2, 5, 8, grad=True), mask], True, [heads]))
    deep = Deep()
    found.append(Case("winograd", deep, [rows(2, 8, 17, 15)], modules=[deep]))
    return found


# ---------------------------------------------------------------- ops


def ops() -> list[Case]:
    """Ops by themselves, forward and backward."""
    rows, found = Rows(3), []
    softmaxes = lambda x: (functional.softmax(x, -1), functional.log_softmax(x, -1), functional.softmax(x, 0))  # noqa: E731
    found.append(Case("softmax", softmaxes, [rows(3, 4)]))
    signs = Tensor(np.array([[1.0, -1.0, 1.0], [-1.0, -1.0, -1.0]], np.float32))
    found.append(Case("nothing to see", lambda x: functional.softmax(where(x > 0, x, -np.inf), -1), [signs]))
    sums = lambda x: (reduce.max(x * 2.0, 1), reduce.min(x, 0), (x * x).mean(), reduce.max(x), x.sum(1))  # noqa: E731
    found.append(Case("sums", sums, [rows(3, 4)]))
    pools = lambda x: (functional.max_pool2d(x, 3, 2, 1), functional.avg_pool2d(x, 3, 2, 1))  # noqa: E731
    found.append(Case("pooling", pools, [rows(2, 3, 7, 7)]))
    equal = Tensor(rows.rng.integers(0, 3, (2, 3, 7, 7)).astype(np.float32), requires_grad=True)
    back = lambda x: (functional.max_pool2d(x * 1.5, 3, 2, 1), functional.avg_pool2d(x, 2, 2))  # noqa: E731
    found.append(Case("pooling backward", with_gradients(back), [equal], True))
    groups = Conv2d(4, 6, 3, groups=2, stride=2, padding=1)
    both = with_gradients(groups, *groups.parameters())
    found.append(Case("groups", both, [rows(2, 4, 9, 9, grad=True)], True, [groups]))
    wide = Conv2d(3, 20, 5, stride=2, padding=2)
    found.append(Case("wide filters", wide, [rows(1, 3, 11, 11)], modules=[wide]))
    dilated = Conv2d(4, 6, 3, dilation=2)
    both = with_gradients(dilated, *dilated.parameters())
    found.append(Case("dilation", both, [rows(1, 4, 9, 9, grad=True)], True, [dilated]))
    a, b = rows(4, 3), rows(4, 3)
    found.append(Case("elements", _elements, [a, b]))
    found.append(
        Case(
            "float64",
            lambda x: (functional.gelu(x, "tanh"), functional.softmax(x, 1), x @ x.T),
            [rows(4, 3, dtype=np.float64)],
        )
    )
    found.append(Case("integers", _integers, [rows.ids(5, 3, 2)]))
    found.append(
        Case(
            "parts",
            lambda a, b: (a[::2, ::-1], concat([a, b * 2.0], 1), a[1:, :2] * b[0, 0], a.T @ b),
            [a, b],
        )
    )
    table = rows(6, 3, grad=True)
    signed = Tensor(np.array([[0, -1], [5, 2]]))
    found.append(Case("take", with_gradients(lambda i: table[i] * 2.0, table), [signed], True))
    found.append(Case("lookup", Embedding(6, 3), [Tensor(np.array([[0, 1], [5, 2]]))]))
    held = Tensor(np.zeros((4, 3), np.float32))
    found.append(Case("assign", lambda x: (held.assign_(x, at=slice(1, 3)), held * 1.5)[1], [rows(2, 3)]))
    draws = Generator(5)
    found.append(
        Case("random", lambda x: (draws.rand(5, 7) + x, draws.rand(3, dtype=np.float64)), [rows(5, 7)])
    )
    looked = rows(6, 10)[:, ::2]
    found.append(Case("views outside", lambda x: x @ looked + looked.sum(), [rows(3, 6)]))
    found.append(Case("no elements", lambda x: (x * 2.0, x.sum(), x.reshape(2, 0)), [rows(0, 4)]))
    found.append(Case("numpy", lambda x: functional.softmax(sin(x + 1.0) * x, 0) * 2.0, [rows(4, 3)]))
    found += losses(rows)
    return found


def losses(rows: Rows) -> list[Case]:
    """Cross-entropy in its forms."""
    logits, labels = rows(4, 5, grad=True), Tensor(np.array([1, -100, 0, 4]))
    found = []
    for reduction in ("mean", "sum", "none"):
        for smoothing in (0.0, 0.1):

            def loss(x: Tensor, y: Tensor, r: str = reduction, s: float = smoothing) -> Tensor:
                return functional.cross_entropy(x * 1.5, y, reduction=r, label_smoothing=s)

            found.append(
                Case(f"cross-entropy {reduction} {smoothing}", with_gradients(loss), [logits, labels], True)
            )
    return found


def _elements(a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    found = [
        where(a > b, a, -b),
        a.clip(-1, 0.5),
        log(arithmetic.abs(a)),
        sigmoid(a),
        functional.gelu(a),
        functional.gelu(a, "tanh"),
    ]
    found += [
        arithmetic.sign(a),
        maximum(a, b).relu(),
        minimum(a, b),
        (a >= 0).to("float32"),
        erf(a),
        sqrt(a * a),
    ]
    return (*found, (a > b) & (b <= 0), (a < b) | (a == b), a / b, a - b, a.exp(), a.tanh())


def _integers(a: Tensor) -> tuple[Tensor, ...]:
    return a + 1, -a, a * a, a == 2, ~(a > 1), a != 3, a / 2, a.to("float32"), a.to("int8"), a.to("bool")


def _codes() -> list[Case]:
    """Products of codes: by row and by fixed ranges, in pairs and in quads, and of four bits."""
    rows = Rows(3)
    rng = rows.rng

    def codes(*shape: int) -> Tensor:
        return Tensor(rng.integers(-128, 128, shape).astype(np.int8))

    wide, narrow, square = codes(20, 33), codes(7, 20), codes(7, 32)
    first, second = Tensor(rng.random(20).astype(np.float32)), Tensor(rng.random(7).astype(np.float32))
    step, zero = Tensor(np.float32(0.05)), Tensor(np.int32(-3))
    filters, scales = codes(8, 2, 3, 3), Tensor(rng.random(8).astype(np.float32))
    nibbles, groups = codes(9, 16), Tensor(rng.random((9, 2)).astype(np.float32))
    table, each = codes(6, 10), Tensor(rng.random((6, 1)).astype(np.float32))
    convolve = quantized.Conv2dInt8((1, 1), (1, 1), (1, 1), 1)
    grouped = quantized.Conv2dInt8((2, 1), (0, 1), (1, 2), 2)

    def layers(x: Tensor) -> Tensor:
        y, scale = quantize.quantize_rows(x)
        hidden = quantized.linear_int8(y, scale, wide, first).relu()
        y, scale = quantize.quantize_rows(hidden)
        return quantized.linear_int8(y, scale, narrow, second)

    def fixed(x: Tensor) -> Tensor:
        return quantized.linear_int8(
            quantize.quantize(x, step, zero, -128, 127), step, square, second, zero
        ) + quantize.fake_quantize(x[:, :7], step, zero)

    def images(x: Tensor) -> Tensor:
        y = convolve(quantize.quantize(x, step), step, filters, scales)
        return functional.max_pool2d(y.relu(), 2)

    def channels(x: Tensor) -> Tensor:
        y = quantize.quantize(x.relu(), step, None, 0, 127)
        return grouped(y, step, filters, scales, zero)

    def four_bits(x: Tensor) -> Tensor:
        y, scale = quantize.quantize_rows(x)
        return quantized.linear_int4(y, scale, nibbles, groups) + 1.0

    def rows_of(ids: Tensor) -> Tensor:
        return quantized.lookup_int8(ids, table, each)

    return [
        Case("codes", layers, [rows(5, 33)]),
        Case("codes by fixed ranges", fixed, [rows(3, 32)]),
        Case("codes of images", images, [rows(2, 2, 6, 8)]),
        Case("codes in groups of channels", channels, [rows(1, 4, 7, 5)]),
        Case("codes of four bits", four_bits, [rows(4, 32)]),
        Case("codes of rows", rows_of, [rows.ids(6, 2, 3)]),
    ]


def _sparse() -> list[Case]:
    """Products with sparse weights: by rows and in blocks, alone and with what follows them."""
    rows = Rows(4)
    rng = rows.rng

    def ids(*numbers: int) -> Tensor:
        return Tensor(np.array(numbers, np.int32))

    values, blocks = (Tensor(rng.standard_normal(s).astype(np.float32)) for s in ((7,), (4, 8)))
    bias = Tensor(rng.random(11).astype(np.float32))
    columns, starts = ids(0, 3, 4, 1, 1, 2, 0), ids(0, 2, 2, 3, 3, 3, 3, 3, 3, 5, 6, 7)
    places, firsts = ids(4, 0, 2, 3), ids(0, 3, 4)

    def by_rows(x: Tensor) -> Tensor:
        return sparse.linear_csr(x, values, columns, starts, bias).relu() + 0.5

    def in_blocks(x: Tensor) -> tuple[Tensor, Tensor]:
        made = sparse.linear_blocked(x, 11, blocks, places, firsts)
        return made, sparse.linear_blocked(x, 11, blocks, places, firsts, bias).tanh()

    return [
        Case("sparse rows", by_rows, [rows(1, 5)]),
        Case("sparse rows of a batch", by_rows, [rows(2, 3, 5)]),
        Case("sparse blocks", in_blocks, [rows(9, 5)]),
    ]


def cases() -> list[Case]:
    """All of them."""
    return [*models(), *ops(), *_codes(), *_sparse(), *_language()]


def _language() -> list[Case]:
    """A model with weights in blocks, on a cache in pages: float16, and codes of eight bits in a window."""
    return [_cached(f"cached {dtype}", dtype, window) for dtype, window in (("float16", 0), ("int8", 5))]


def _cached(name: str, dtype: str, window: int) -> Case:
    model = Llama(vocab_size=40, context=32, width=64, layers=1, heads=4, kv_heads=2, hidden=64)
    rng = np.random.default_rng(0)
    attn, mlp = model.blocks[0].attn, model.blocks[0].mlp
    for part, names in ((attn, ("q_proj", "k_proj", "v_proj", "out_proj")), (mlp, ("gate", "up", "down"))):
        for number, layer in enumerate(names):
            form = Format(4, minimum=number % 2 == 0)
            setattr(part, layer, BlockLinearLayer(*_blocks(rng, form, getattr(part, layer).weight.shape)))
    model.embed = BlockEmbedding(*_blocks(rng, Format(8, minimum=False), (40, 64)))
    pool = PagePool(1, 2, 16, 4, 8, dtype)
    cache = TracedCache(pool, 2 if window else 0, window, 3)

    def step(ids: Tensor, table: Tensor, starts: Tensor, dropped: Tensor, rows: Tensor) -> Tensor:
        cache.table, cache.starts, cache.dropped = table, starts, dropped
        logits = model(ids, cache)
        return take(logits.reshape(-1, 40), rows)

    args = [rng.integers(0, 40, (2, 3)), [[2, 0], [1, 3]], [4, 7], [0, 0], [2, 4]]
    case = Case(name, step, [Tensor(np.asarray(a, np.int64)) for a in args], modules=[model])
    for tensor in pool.tensors(0):  # tracing wrote to it what a run will write
        tensor.assign_(0)
    return case


def _blocks(rng: np.random.Generator, form: Format, shape: tuple[int, ...]) -> tuple[int, Format, Array]:
    codes = rng.integers(0, 1 << form.bits, shape, np.uint8)
    scale, low = (rng.normal(size=(2, shape[0], shape[1] // 32)) / 50).astype(np.float16)
    return shape[0], form, form.pack(form.join(codes), scale, low if form.minimum else None)

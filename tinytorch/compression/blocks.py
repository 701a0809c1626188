"""drop_blocks: a model without the blocks that it misses least, by measuring what each removal costs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tinytorch.compression.removal import Shapes, resized
from tinytorch.errors import CompressionError, QuantizationError, ShapeError
from tinytorch.nn.attention import MultiHeadAttention
from tinytorch.nn.containers import ModuleList
from tinytorch.nn.module import Module
from tinytorch.profiling import words
from tinytorch.quantization.calibrate import Batch
from tinytorch.quantization.score import Metric, Score


@dataclass(frozen=True)
class Drop:
    """One block that was dropped: its path in the model as it was, and what all drops so far cost."""

    path: str
    parameters: int
    cost: float
    tried: tuple[tuple[str, float], ...]
    """What the score would have lost by each block that was still there, this one's the least."""


@dataclass(frozen=True)
class Dropped:
    """A model with fewer blocks, and which went, in order. `score`: what costs are differences of."""

    model: Module
    drops: tuple[Drop, ...]
    score: str
    before: float
    after: float

    def __repr__(self) -> str:
        rows = [["dropped", "parameters", f"{self.score} lost", "next best"]]
        for drop in self.drops:
            others = sorted(cost for path, cost in drop.tried if path != drop.path)
            second = f"{others[0]:+.4f}" if others else ""
            rows.append([drop.path, words.count(drop.parameters), f"{drop.cost:+.4f}", second])
        first, *lines = words.columns(rows, left=(0,))
        total = f"{self.score} {self.before:.4f} before, {self.after:.4f} after"
        return "\n".join([first, "-" * len(first), *lines, total])


def drop_blocks(
    model: Module,
    count: int,
    batches: Iterable[Batch],
    *,
    blocks: str = "",
    metric: Metric | None = None,
) -> Dropped:
    """A copy of the model without `count` of its blocks; the model itself stays as it is.

    One after the other, each time the block goes without which the model loses least on `batches`: validation
    data, of which `Score` says how it counts, or a `metric` of the model, the higher the better. So a block
    must give what another one takes, as those of a transformer do, each of which adds to its input. `blocks`:
    the path of the ModuleList, which may be left out where there is one alone. Blocks behind one that went
    are renumbered, also those that a cache of keys and values files by number.

    Raises CompressionError for a path without a ModuleList, a count that leaves no block or is below 1, and
    blocks that others cannot do without.

    >>> from tinytorch.models import GPT
    >>> from tinytorch.tensor import Tensor
    >>> gpt = GPT(vocab_size=10, context=8, width=16, layers=3, heads=2)
    >>> len(drop_blocks(gpt, 1, [Tensor([[1, 2, 3]])]).model.blocks)
    2
    """
    path = _path_of(model, blocks)
    small = copy.deepcopy(model)
    names = {id(block): f"{path}.{i}" for i, block in enumerate(_list(small, path))}
    if not 0 < count < len(names):
        raise CompressionError(
            f"{path}: {count} of {len(names)} blocks cannot be dropped; expected 1 to {len(names) - 1}"
        )
    try:
        score = Score(model, batches, metric)
    except QuantizationError as error:
        raise CompressionError(str(error)) from None
    drops = []
    for _ in range(count):
        there = list(_list(small, path))
        costs = [_cost(small, path, [*there[:i], *there[i + 1 :]], score) for i in range(len(there))]
        at = min(range(len(costs)), key=costs.__getitem__)
        tried = tuple((names[id(block)], cost) for block, cost in zip(there, costs, strict=True))
        drops.append(Drop(names[id(there[at])], there[at].num_parameters(), costs[at], tried))
        _put(small, path, [*there[:at], *there[at + 1 :]])
    _renumber(small, path)
    return Dropped(small, tuple(drops), score.name, score.before, score.value(small))


def _path_of(model: Module, wanted: str) -> str:
    found = {path: m for path, m in model.named_modules() if isinstance(m, ModuleList) and path}
    if wanted in found:
        return wanted
    if wanted or len(found) != 1:
        there = ", ".join(found) or "none"
        asked = f"there is no ModuleList at {wanted!r}" if wanted else "name the ModuleList of blocks="
        raise CompressionError(f"drop_blocks: {asked}; those of the model are: {there}")
    return next(iter(found))


def _list(model: Module, path: str) -> ModuleList:
    found = dict(model.named_modules())[path]
    if not isinstance(found, ModuleList):
        raise CompressionError(f"drop_blocks: {path} is no ModuleList")
    return found


def _put(model: Module, path: str, blocks: Sequence[Module]) -> None:
    """Have these blocks in the list at a path, each in the mode in which it is."""
    before, made = _list(model, path), ModuleList(blocks)
    made.training = before.training
    parent, _, name = path.rpartition(".")
    setattr(dict(model.named_modules())[parent], name, made)


def _cost(model: Module, path: str, blocks: Sequence[Module], score: Score) -> float:
    """What a model loses with these blocks alone."""
    with _having(model, path, blocks):
        try:
            return score.cost(model)
        except ShapeError as error:
            raise CompressionError(f"{path}: a block cannot be left out: {error}") from error


@contextmanager
def _having(model: Module, path: str, blocks: Sequence[Module]) -> Iterator[None]:
    before = list(_list(model, path))
    _put(model, path, blocks)
    try:
        yield
    finally:
        _put(model, path, before)


def _renumber(model: Module, path: str) -> None:
    """Set what says how many blocks there are, and which is which."""
    for number, block in enumerate(_list(model, path)):
        for module in block.modules():
            if isinstance(module, MultiHeadAttention):
                module.layer = number
    nothing: Shapes = {}
    for name, module in model.named_modules():
        if not name or path.startswith(f"{name}."):
            resized(module, nothing)

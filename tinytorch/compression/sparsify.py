"""sparsify: layers that multiply with what is left of their weights, where that is faster on this machine."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from tinytorch.compression.sparse import BlockedLinear, SparseLinear, Stored, zero_blocks
from tinytorch.errors import CompressionError, QuantizationError
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module, Parameter
from tinytorch.ops.sparse import BLOCK
from tinytorch.ops.spec import Array, float32
from tinytorch.profiling import words
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.timing.comparison import FASTER
from tinytorch.quantization.calibrate import calibrate
from tinytorch.quantization.fold import replace
from tinytorch.quantization.speed import ROUNDS, Race, race
from tinytorch.tensor import Tensor, from_numpy
from tinytorch.training.metrics import evaluating

Form: TypeAlias = Literal["csr", "blocked"]
LAYERS: Mapping[Form, type[SparseLinear] | type[BlockedLinear]] = {
    "csr": SparseLinear,
    "blocked": BlockedLinear,
}
FEWEST = 0.1
"""The share of zeros, or of zero blocks, from which a form is raced: fewer save less than indices take."""
GRID = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Sparsities at which `break_even` measures."""


# ---------------------------------------------------------------- reports


@dataclass(frozen=True)
class SparseRow:
    """A layer: rows of inputs it gets, share of zeros and of zero blocks, times by form, what it became, why.

    `times`: seconds of a call by form, "dense" among them; `gains`: the dense time over each; both only of
    what was raced. `chosen` is "dense" or a form.
    """

    path: str
    shape: tuple[int, int]
    rows: int
    sparsity: float
    zero_blocks: float
    times: Mapping[str, float]
    gains: Mapping[str, Estimate]
    chosen: str
    why: str

    @property
    def gain(self) -> float:
        """How many times as fast the layer is now."""
        return self.gains[self.chosen].value if self.chosen in self.gains else 1.0


@dataclass(frozen=True)
class SparsifyReport:
    """What `sparsify` made of each Linear layer; `whole`: the model before and after, if anything was faster
    by itself.
    """

    rows: tuple[SparseRow, ...]
    whole: Race | None

    def __repr__(self) -> str:
        head = ["layer", "weight", "rows", "zeros", "zero blocks", "dense", "csr", "blocked", "chosen", "why"]
        cells = [
            [
                row.path,
                "x".join(map(str, row.shape)),
                str(row.rows),
                words.percent(row.sparsity),
                words.percent(row.zero_blocks),
                *(words.seconds(row.times.get(way)) for way in ("dense", *get_args(Form))),
                row.chosen,
                row.why,
            ]
            for row in self.rows
        ]
        first, *lines = words.columns([head, *cells], left=(0, 1, 8, 9))
        if self.whole is not None:
            before, after = (words.seconds(t.value) for t in (self.whole.before, self.whole.after))
            lines.append(f"the model: {before} before, {after} after, {words.times(self.whole.gain)}")
        return "\n".join([first, "-" * len(first), *lines])


@dataclass(frozen=True)
class BreakEven:
    """Gains over dense at some sparsities, of one form and shape, and where they reach 1.

    `at`: between two measured sparsities, by a straight line over the logarithm of the gain; the lowest if
    sparse wins there already; None where it does not win at any.
    """

    form: Form
    shape: tuple[int, int]
    rows: int
    points: tuple[tuple[float, Race], ...]
    at: float | None

    def __repr__(self) -> str:
        n, k = self.shape
        cells = [["zeros", "dense", self.form, "gain", ""]]
        for sparsity, found in self.points:
            gain = words.times(found.gain)
            times = (words.seconds(t.value) for t in (found.before, found.after))
            cells.append([words.percent(sparsity), *times, gain, found.word])
        first, *lines = words.columns(cells, left=(4,))
        lowest, highest = self.points[0][0], self.points[-1][0]
        if self.at is None:
            text = f"dense is not slower up to {words.percent(highest)} of zeros"
        elif self.at == lowest:
            text = f"sparse is as fast at {words.percent(lowest)} of zeros already"
        else:
            text = f"sparse is as fast from about {words.percent(self.at)} of zeros on"
        what = "rows" if self.form == "csr" else f"blocks of {BLOCK} x 1"
        title = f"{n} x {k} by {what}, {self.rows} rows of inputs: {text}"
        return "\n".join([title, first, *lines])


# ---------------------------------------------------------------- layers of a model


def sparsify(
    model: Module,
    inputs: Tensor | tuple[Tensor, ...],
    *,
    least_gain: float = 1.05,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> tuple[Module, SparsifyReport]:
    """A copy of the model with sparse weights in its Linear layers where that is faster, and a report.

    inputs: what the model is called with, of the shapes that it is meant for. Each Linear layer with zeros
    runs against itself by rows (CSR) and in blocks of 8 outputs, compiled, on as many rows as it gets here.
    The fastest form takes its place if it is faster than dense beyond chance, and at least `least_gain`
    times as fast; else the layer stays as it is, and the report says why. Where the whole model turns out
    slower with the new layers, all stay dense. The new layers do not train.

    Raises CompressionError for a model without Linear layers with weights of float32, or that is one itself,
    for inputs that are no Tensors, on which no such layer runs or that are not finite, and a `least_gain`
    below 1.

    >>> from tinytorch.models import MLP
    >>> model, report = sparsify(MLP((64, 32, 4)), Tensor(np.zeros((2, 64), np.float32)))
    >>> [row.chosen for row in report.rows], report.rows[0].why
    (['dense', 'dense'], 'no zeros')
    """
    if not least_gain >= 1:
        raise CompressionError(f"sparsify: least_gain {least_gain:g}; expected 1 or more, such as 1.05")
    given = (inputs,) if isinstance(inputs, Tensor) else inputs
    if not isinstance(given, tuple) or not given or not all(isinstance(t, Tensor) for t in given):
        raise CompressionError("sparsify: inputs are a Tensor, or a tuple of what the model is called with")
    twin = copy.deepcopy(model)
    layers = _linear_layers(twin)
    shapes = _shapes(twin, given, layers)
    stays = _bound(twin, layers)
    rows = []
    for path, layer in layers.items():
        row, better = _tried(path, layer, shapes[path], stays.get(path, ""), least_gain, rounds, seed)
        rows.append(row)
        if better is not None:
            replace(twin, path, better)
    whole = None
    if any(row.chosen != "dense" for row in rows):
        with evaluating(model), evaluating(twin):
            whole = race(model, twin, *given, rounds=rounds, seed=seed)
    if whole is not None and whole.loses:
        rows = [_taken_back(row, whole) for row in rows]
        twin = copy.deepcopy(model)
    return twin, SparsifyReport(tuple(rows), whole)


def _taken_back(row: SparseRow, whole: Race) -> SparseRow:
    """A layer that won alone, in a model that loses: what was compiled into one program with it has gone."""
    if row.chosen == "dense":
        return row
    why = f"{row.why} by itself, but the model with such layers is {words.times(whole.gain)}"
    return dataclasses.replace(row, chosen="dense", why=why)


def _linear_layers(model: Module) -> dict[str, Linear]:
    if type(model) is Linear:
        raise CompressionError("sparsify: the model is itself a Linear; give nn.Sequential(layer)")
    found = {path: m for path, m in model.named_modules() if type(m) is Linear and m.weight.dtype == float32}
    if not found:
        raise CompressionError("sparsify: the model has no Linear layer with weights of float32")
    return found


def _shapes(
    model: Module, inputs: tuple[Tensor, ...], layers: Mapping[str, Linear]
) -> dict[str, tuple[int, ...]]:
    """The shape of what goes into each layer; () for one that does not run."""
    try:
        seen = calibrate(model, [inputs], layers)
    except QuantizationError as error:
        raise CompressionError(f"sparsify: {error}") from error
    if not any(one.calls for one in seen.values()):
        raise CompressionError("sparsify: no Linear layer of the model runs on these inputs")
    return {path: one.shape for path, one in seen.items()}


def _bound(model: Module, layers: Mapping[str, Linear]) -> dict[str, str]:
    """Why some layers cannot be replaced."""
    modules = [id(module) for _, module in model._walk()]
    tensors = [id(tensor) for _, tensor in model._tensors("parameter", "buffer")]
    found = {}
    for path, layer in layers.items():
        if modules.count(id(layer)) > 1:
            found[path] = "it is held in two places"
        elif tensors.count(id(layer.weight)) > 1:
            found[path] = "another layer has the same weight"
    return found


def _tried(
    path: str, layer: Linear, shape: tuple[int, ...], stays: str, least_gain: float, rounds: int, seed: int
) -> tuple[SparseRow, Stored | None]:
    """A layer's row, and what is to take its place, if anything is."""
    w = layer.weight.data
    sparsity, blocks = float((w == 0).mean()), zero_blocks(w)
    why = stays or ("" if shape else "it does not run on these inputs") or ("" if sparsity else "no zeros")
    shares: dict[Form, float] = {"csr": sparsity, "blocked": blocks}
    forms = [form for form, share in shares.items() if share >= FEWEST]
    if not why and not forms:
        why = f"fewer than {words.percent(FEWEST)} of zeros: indices take more than they save"
    rows = int(np.prod(shape[:-1])) if shape else 0
    made = {form: LAYERS[form].of(layer) for form in forms} if not why else {}
    x = from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))
    races = {form: race(layer, module, x, rounds=rounds, seed=seed) for form, module in made.items()}
    times: dict[str, float] = {form: found.after.value for form, found in races.items()}
    if races:
        times["dense"] = min(found.before.value for found in races.values())
    best = max(races, key=lambda form: races[form].gain.value, default=None)
    chosen, better = "dense", None
    if best is not None:
        found = races[best]
        if found.word == FASTER and found.gain.value >= least_gain:
            chosen, better = best, made[best]
            why = f"{words.times(found.gain)} as fast as dense"
        else:
            why = _reason(best, found, least_gain)
    gains: dict[str, Estimate] = {form: found.gain for form, found in races.items()}
    n, k = w.shape
    return SparseRow(path, (n, k), rows, sparsity, blocks, times, gains, chosen, why), better


def _reason(form: Form, found: Race, least_gain: float) -> str:
    """Why a layer stays dense after the race of its best form."""
    if found.word == FASTER:
        return f"{form} is {words.times(found.gain)} as fast, less than the {least_gain:g}x asked for"
    if found.loses:
        return f"dense wins: {form} is {words.times(found.gain)} as fast"
    return f"no difference shown: {form} is {words.times(found.gain)} as fast"


# ---------------------------------------------------------------- break-even


def break_even(
    k: int, n: int, rows: int = 1, *, form: Form = "csr", rounds: int = ROUNDS, seed: int = 0
) -> BreakEven:
    """From which share of zeros on a Linear layer, k inputs and n outputs, is faster sparse on this machine.

    Layers with random zeros (of single weights, or of blocks of 8 outputs for "blocked") run against
    themselves dense, compiled, on `rows` rows of inputs, at each sparsity of GRID. Raises CompressionError
    for sizes below 1 and unknown forms.
    """
    if form not in LAYERS:
        raise CompressionError(f"break_even: form {form!r}; expected one of {', '.join(LAYERS)}")
    if min(k, n, rows) < 1:
        raise CompressionError(f"break_even: k={k}, n={n}, rows={rows}; expected sizes of 1 or more")
    rng = np.random.default_rng(seed)
    x = from_numpy(rng.standard_normal((rows, k)).astype(np.float32))
    points = []
    for sparsity in GRID:
        layer = Linear(k, n)
        w = layer.weight.data * _kept(rng, n, k, sparsity, form)
        layer.weight = Parameter(w.astype(np.float32))
        points.append((sparsity, race(layer, LAYERS[form].of(layer), x, rounds=rounds, seed=seed)))
    at = crossing([(sparsity, found.gain.value) for sparsity, found in points])
    return BreakEven(form, (n, k), rows, tuple(points), at)


def _kept(rng: np.random.Generator, n: int, k: int, sparsity: float, form: Form) -> Array:
    if form == "csr":
        return rng.random((n, k)) >= sparsity
    groups = -(-n // BLOCK)
    return np.repeat(rng.random((groups, k)) >= sparsity, BLOCK, axis=0)[:n]


def crossing(points: list[tuple[float, float]]) -> float | None:
    """Where gains that follow (sparsity, gain), by sparsity, last come to 1 from below, and stay there.

    Between two points the logarithm of the gain goes in a straight line. The first sparsity where all gains
    are 1 or more; None where the last one is below.

    >>> crossing([(0.5, 0.5), (0.7, 1.0), (0.9, 4.0)]), crossing([(0.5, 0.5), (0.9, 2.0)])
    (0.7, 0.7)
    >>> crossing([(0.5, 1.5), (0.9, 2.0)]), crossing([(0.5, 0.5), (0.9, 0.9)])
    (0.5, None)
    """
    below = [at for at, (_, gain) in enumerate(points) if gain < 1]
    if not below:
        return points[0][0]
    last = below[-1]
    if last == len(points) - 1:
        return None
    (low, slow), (high, fast) = points[last], points[last + 1]
    share = np.log(slow) / (np.log(slow) - np.log(fast))
    return round(float(low + share * (high - low)), 6)

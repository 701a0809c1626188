"""What the compress stage finds of a model: points of size and figure, pictures, and where each pays."""

from __future__ import annotations

from dataclasses import dataclass

from tinytorch.benchmarking import pareto
from tinytorch.compression.sparsify import BreakEven, SparsifyReport
from tinytorch.compression.steps import Budget
from tinytorch.journey.pictures import Picture
from tinytorch.journey.quantize import gained
from tinytorch.profiling import words
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.timing.comparison import FASTER
from tinytorch.quantization.samples import Tested
from tinytorch.quantization.speed import Race

WHOLE, ENCODED, HALF = "float32", "float32, encoded", "half"
"""Names of points that others are compared with, and of the one with half the channels."""
SPARSEST, MIXED, SHARED, CODES = "90 %", "70 % + int8", "shared", "codes"
WANDA = "50 % Wanda"
LESS = 0.95
"""Of what it was, from which a size or a time counts as less."""


@dataclass(frozen=True)
class Point:
    """A model that a technique made: its figure on test data and what it loses, with its 95 % interval;
    `sparsity` of its weights, None where nobody looked; bytes of its file, resident, and read by kernels in a
    pass; `race`: compiled, beside float32. `kind`: "whole", "bits", "zeros", "numbers" or "half".
    """

    name: str
    kind: str
    note: str
    figure: float
    lost: Estimate | None
    sparsity: float | None
    file: int
    resident: int
    read: int | None
    race: Race | None = None


@dataclass(frozen=True)
class OnFewer:
    """What the stage found. `figure`: "accuracy" or "bits per byte"; `epochs`: of training after each cut, of
    so many `batches`, 0 if nothing was trained; `kept`: the number of the point that `budget` chose by
    validation data, and whether it is met; `sparse`: what sparse kernels gain in the model with most zeros,
    None where that was not tried; `wanda`: the same share of zeros by Wanda and by magnitude, in files of
    about the same size.
    """

    figure: str
    epochs: int
    batches: int
    points: tuple[Point, ...]
    kept: int
    budget: Budget
    met: bool
    sparse: SparsifyReport | None
    even: BreakEven
    wanda: Tested | None
    pictures: tuple[Picture, ...]

    @property
    def whole(self) -> Point:
        """The model as it was."""
        return self.points[0]

    @property
    def time(self) -> Estimate | None:
        """Of a pass of the model as it was, compiled, from the first race that it ran; None without one."""
        return next((point.race.before for point in self.points if point.race is not None), None)

    def named(self, name: str) -> Point | None:
        """The point of that name, if there is one."""
        return next((point for point in self.points if point.name == name), None)

    def front(self) -> tuple[int, ...]:
        """The numbers of the points that no other beats in size and quality."""
        sign = -1 if self.figure == "accuracy" else 1
        return pareto.front([(point.file, sign * point.figure) for point in self.points])


def gain(race: Race) -> str:
    """The gain as a cell of a table: a ratio if there is one beyond chance.

    >>> one = Estimate(1.0, 1.0, 1.0)
    >>> gain(Race(one, one, Estimate(1.02, 0.99, 1.05), "no difference shown"))
    'none'
    """
    return f"{race.gain.value:.2f}x" if race.word == FASTER or race.loses else "none"


def pays(point: Point, encoded: Point) -> str:
    """What a point has less of than float32 in an encoded file, of file, memory and time.

    A file pays beside the encoded one, since that costs nothing; time where it was measured, beyond chance,
    and by more than can be told from one program to the next.
    """
    found = {
        "file": point.file < LESS * encoded.file,
        "memory": point.resident < LESS * encoded.resident,
        "time": point.race is not None and _faster(point.race),
    }
    return ", ".join(name for name, pay in found.items() if pay) or "nothing"


def _faster(race: Race) -> bool:
    return race.word == FASTER and race.gain.value * LESS >= 1


# ---------------------------------------------------------------- in words


def remarks(result: OnFewer) -> list[tuple[str, str]]:
    """For each technique what it gave here, and when it does not pay."""
    found = [
        ("Entropy coding alone", _encoding(result)),
        ("Single zeros", _zeros(result)),
        ("Wanda beside magnitude", _wanda(result)),
        ("Sparse kernels", _sparse(result)),
        ("Zeros and int8", _mixed(result)),
        ("Few numbers", _numbers(result)),
        ("Codes of few numbers", _codes(result)),
        ("Half the channels", _half(result)),
    ]
    return [(term, text) for term, text in found if text]


def _ratio(above: Point, below: Point) -> str:
    return f"{above.file / below.file:.1f}x"


def _encoding(result: OnFewer) -> str:
    encoded = result.named(ENCODED)
    if encoded is None:
        return ""
    return (
        f"The same weights, nothing lost, in a file {result.whole.file / encoded.file:.2f}x smaller. Most "
        "bits of a trained float32 weight are noise to a coder, so this pays little, and only in the file."
    )


def _zeros(result: OnFewer) -> str:
    encoded, point = result.named(ENCODED), result.named(SPARSEST) or result.named(WANDA)
    if encoded is None or point is None or point.race is None or point.sparsity is None:
        return ""
    same = "as many bytes as before" if point.resident == result.whole.resident else "other bytes"
    return (
        f"With {words.percent(point.sparsity)} of zeros the file is {_ratio(encoded, point)} smaller than "
        f"encoded float32. In memory zeros are float32 numbers as others are, {same}, and dense kernels "
        f"multiply by them: a pass is {_told(point.race)}."
    )


def _told(race: Race) -> str:
    if _faster(race) or race.loses:
        return f"{gained(race)} ({words.times(race.gain)})"
    word = "hardly faster" if race.word == FASTER else "not shown to be faster"
    return f"{word} ({words.times(race.gain)})"


def _wanda(result: OnFewer) -> str:
    found = result.wanda
    if found is None or found.lost.low is None or found.lost.high is None:
        return ""
    ends = [100 * value for value in (found.lost.value, found.lost.low, found.lost.high)]
    word = "more" if ends[1] > 0 else "less" if ends[2] < 0 else "no more that could be shown"
    cost = words.percent(found.before / result.whole.figure - 1)
    return (
        f"Half of the weights of each output at zero, nothing trained: {found.after:.3f} bits per byte by "
        f"magnitude, {found.before:.3f} by Wanda, for which a weight counts by its input, too. Magnitude "
        "needs {} ({:+.2f} % [{:+.2f}, {:+.2f}]). ".format(word, *ends)
        + f"float32 needs {result.whole.figure:.3f}: without training, half of the weights cost {cost}."
    )


def _sparse(result: OnFewer) -> str:
    even, (n, k) = result.even, result.even.shape
    inputs = "1 row" if even.rows == 1 else f"{even.rows} rows"
    layer = (
        f"On this machine a layer of {n} x {k} with {inputs} of inputs, multiplied by its non-zeros alone,"
    )
    lowest, highest = even.points[0][0], even.points[-1][0]
    if even.at is None:
        told = f"{layer} is not as fast as dense at any share of zeros up to {words.percent(highest)}."
    elif even.at == lowest:
        told = f"{layer} is as fast as dense at {words.percent(lowest)} of zeros already."
    else:
        told = f"{layer} is as fast as dense from about {words.percent(even.at)} of zeros on."
    if result.sparse is None:
        return f"{told} No layer of this model was tried."
    rows = result.sparse.rows
    better = [row for row in rows if row.chosen != "dense"]
    if not better:
        return f"{told} In the model with most zeros it pays in no layer: all stay dense."
    gains = [row.gain for row in better]
    span = f"{min(gains):.2f}x" if len(gains) == 1 else f"{min(gains):.2f}x to {max(gains):.2f}x"
    one = f", {better[0].path}" if len(better) == 1 else ""
    whole = result.sparse.whole
    passed = "" if whole is None else f" A pass of that model is {_told(whole)}."
    return (
        f"{told} In the model with most zeros it pays in {len(better)} of {len(rows)} layers{one}: {span} as "
        f"fast as dense.{passed}"
    )


def _mixed(result: OnFewer) -> str:
    eight, mixed = result.named("int8"), result.named(MIXED)
    if mixed is None:
        return ""
    beside = "" if eight is None else f", int8 codes alone {_ratio(result.whole, eight)}"
    return (
        f"Codes of eight bits for what 70 % of zeros leave: {_ratio(result.whole, mixed)} smaller than "
        f"float32{beside}. The zeros gain nothing in memory, where each is a code of eight bits."
    )


def _numbers(result: OnFewer) -> str:
    point = result.named(SHARED)
    if point is None:
        return ""
    return (
        f"{point.note[0].upper()}{point.note[1:]}: {_ratio(result.whole, point)} smaller than float32. Only "
        "the file knows of it: loaded, weights are float32 again, and kernels read all of them."
    )


def _codes(result: OnFewer) -> str:
    point, shared = result.named(CODES), result.named(SHARED)
    if point is None or shared is None:
        return ""
    change = (
        "no smaller"
        if point.file >= shared.file
        else f"{words.percent(1 - point.file / shared.file)} smaller"
    )
    time = "" if point.race is None else f", a pass is {_told(point.race)}"
    return (
        f"int8 in the place of those numbers: {result.whole.resident / point.resident:.1f}x less memory"
        f"{time}. The file is {change} than with float32 numbers: it had few different ones already."
    )


def _half(result: OnFewer) -> str:
    point = result.named(HALF)
    if point is None or point.race is None:
        return ""
    kept = result.points[result.kept]
    more = f" For the file alone others pay more: {kept.name} is {words.size(kept.file)}."
    return (
        f"An ordinary smaller model: {result.whole.resident / point.resident:.1f}x less memory, "
        f"{_ratio(result.whole, point)} smaller in the file, and a pass is {_told(point.race)} with the same "
        f"dense kernels.{more if kept.file < point.file else ''}"
    )

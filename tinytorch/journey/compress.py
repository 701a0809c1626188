"""Stage 5, compress: each model with fewer weights, what that loses and saves, and when it does not pay."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from tinytorch import console
from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.acceleration.compiled import compile
from tinytorch.compression.compressor import Compressor
from tinytorch.compression.finetune import fine_tune
from tinytorch.compression.loaders import Epochs, Material, material_for
from tinytorch.compression.masks import Masks
from tinytorch.compression.prune import prune
from tinytorch.compression.schedule import gradual
from tinytorch.compression.share import settled, shared
from tinytorch.compression.shrunk import Shrunk
from tinytorch.compression.sparsify import BreakEven, SparsifyReport, break_even, sparsify
from tinytorch.compression.steps import Budget, Step, best_of, program_of, sparsity, step_of, weights_bytes
from tinytorch.compression.structure import shrink
from tinytorch.journey import page, pareto
from tinytorch.journey.compressed import (
    CODES,
    ENCODED,
    HALF,
    MIXED,
    SHARED,
    SPARSEST,
    WANDA,
    WHOLE,
    OnFewer,
    Point,
    gain,
    pays,
    remarks,
)
from tinytorch.journey.pictures import filters, maps, weights_of
from tinytorch.journey.quantize import data_of, gained, part_of
from tinytorch.journey.stage import Journey, Stage
from tinytorch.models.gpt import GPT
from tinytorch.models.registry import Model, name_of
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.quantization.quantize import quantize
from tinytorch.quantization.samples import Splits, compared, figures_of, splits_for, tested
from tinytorch.quantization.score import Score
from tinytorch.quantization.speed import race
from tinytorch.tensor import Tensor

if TYPE_CHECKING:
    from markupsafe import Markup

CUTS = (0.5, 0.7, 0.9)
"""Shares of zeros, one after the other on the same weights."""
IMAGES, TEXT = Budget(25.0, 0.005), Budget(5.0, 0.01)
"""What the smallest model is chosen by: times smaller, and at most lost on validation data."""
NUMBERS = 128
"""That weights of text models take, as nothing trains them; the Compressor's own for images."""
LR = 3e-3
RACED = 10
"""Rounds at most, of each layer and sparsity that sparse kernels are measured at."""
SEARCHED = {"float32": ENCODED, "pruned": "by layer", "shared": SHARED, "codes": CODES}
"""Names here of the Compressor's steps."""
KINDS = {ENCODED: "whole", "by layer": "zeros", SHARED: "numbers", CODES: "numbers"}


@dataclass(frozen=True)
class _Bench:
    """A model, and what others are measured beside it on."""

    journey: Journey
    model: Model
    x: Tensor
    test: list[Any]

    def step(self, name: str, made: Module, note: str) -> Step:
        """Sizes of what was made; its figures come from `point`."""
        return step_of(name, made, self.x, 0.0, 0.0, note)

    @cached_property
    def before(self) -> Array:
        """The figures of the model itself on test data."""
        return figures_of(self.model, self.test)

    def point(self, kind: str, step: Step, made: Module) -> Point:
        """A model on test data, and compiled beside float32."""
        now = self.before if made is self.model else figures_of(made, self.test)
        found = compared(self.before, now, isinstance(self.model, GPT))
        timed = None
        if made is not self.model:
            timed = race(self.model, made, self.x, rounds=self.rounds, seed=self.journey.seed)
        lost = None if made is self.model else found.lost
        sizes = (step.sparsity, step.file, step.resident, step.read)
        return Point(step.name, kind, step.note, found.after, lost, *sizes, timed)

    def sparse(self, made: Module) -> SparsifyReport:
        """What sparse kernels gain on it."""
        rounds = min(RACED, self.rounds)
        return sparsify(made, self.x, rounds=rounds, seed=self.journey.seed)[1]

    @property
    def rounds(self) -> int:
        """Of a race."""
        return self.journey.scale.race_rounds


class CompressStage(Stage[OnFewer]):
    """Compresses what `train` left in the journey; choices see train and validation, figures test."""

    name: ClassVar[str] = "compress"
    title: ClassVar[str] = "Compress"

    def run(self, journey: Journey, model: str) -> OnFewer:
        """Measure all techniques on one model, and take what the stage before found beside them."""
        trained = journey.models[model]
        trained.eval()
        if isinstance(trained, GPT):
            result = _of_text(journey, model, trained)
        else:
            result = _of_images(journey, model, trained)
        before = journey.results.get("quantize", {}).get(model)
        if before is None:
            return result
        bits = [
            Point(form.name, "bits", "of the stage before", form.figure, form.lost, None, *_sizes(form))
            for form in before.forms[1:]
        ]
        at = 2  # behind both files of float32
        points = (*result.points[:at], *bits, *result.points[at:])
        return replace(result, points=points, kept=result.kept + (len(bits) if result.kept >= at else 0))

    def figures(self, result: OnFewer) -> dict[str, str]:
        """How small the chosen file is and what it loses, and the time of a pass with half the channels."""
        kept, half = result.points[result.kept], result.named(HALF)
        unit = " %" if result.figure == "bits per byte" else " points"
        lost = 0.0 if kept.lost is None else kept.lost.value
        found = {
            "compressed file": f"{result.whole.file / kept.file:.1f}x smaller",
            "compressed loses": f"{100 * lost:.2f}{unit}",
        }
        if half is not None and half.race is not None:
            found["half the channels"] = gained(half.race)
        return found

    def section(self, journey: Journey, results: Mapping[str, OnFewer]) -> Markup:
        """The stage's part of the page."""
        return page.render(
            "compress.html.jinja",
            stage=self,
            results=results,
            charts={name: pareto.chart_of(result) for name, result in results.items()},
            remarks=remarks,
            pays=pays,
            gain=gain,
        )


def _sizes(form: Any) -> tuple[int, int, int | None]:
    return form.file, form.resident, form.read


def _whole(bench: _Bench) -> Point:
    """float32 in an ordinary program file."""
    step = Step(WHOLE, 0.0, 0.0, 0.0, len(as_bytes(program_of(bench.model, bench.x))), 0, None)
    return bench.point("whole", step, bench.model)


def _with_sizes(whole: Point, encoded: Point) -> Point:
    """The same model in both files: what is in memory is the same, too."""
    return replace(whole, resident=encoded.resident, read=encoded.read, sparsity=encoded.sparsity)


# ---------------------------------------------------------------- images


def _of_images(journey: Journey, name: str, trained: Model) -> OnFewer:
    """All techniques, trained on after each cut."""
    whole = material_for(trained, data_of(name), journey.seed)
    splits = part_of(whole.splits, journey, name)
    material = replace(whole, train=_epochs(journey, whole), splits=splits)
    x = trained.example_input
    assert x is not None, "models of the registry have one"
    bench = _Bench(journey, trained, x, splits.test)
    cut = dict(_cut(journey, name, trained, material))
    half = _halved(journey, name, trained, material)
    encoded, searched, kept, met = _searched(bench, material)
    points = [*encoded, *_zeros(bench, cut, splits), *searched]
    note = f"filters and neurons with the smallest weights gone, {_in_words(journey)}"
    points.append(bench.point("half", bench.step(HALF, half.model, note), half.model))
    sparse = bench.sparse(cut[0.9])
    largest = max(sparse.rows, key=lambda row: row.shape[0] * row.shape[1])
    return OnFewer(
        "accuracy",
        journey.scale.compress_epochs,
        len(material.train),
        tuple(points),
        [point.name for point in points].index(kept),
        IMAGES,
        met,
        sparse,
        _even(bench, largest.shape, largest.rows),
        None,
        (
            *filters(trained, cut[0.9], SPARSEST, half),
            maps("Zeros by layer", {f"at {SPARSEST}": cut[0.9]}),
        ),
    )


def _epochs(journey: Journey, material: Material) -> Epochs:
    """As much of the training data as the scale has for an epoch."""
    train, scale = cast("Any", material.train), journey.scale
    most = len(train) if scale.compress_batches is None else min(len(train), scale.compress_batches)
    if scale.train_images is not None:
        most = min(most, max(1, scale.train_images // train.batch_size))
    return Epochs(train, most)


def _in_words(journey: Journey) -> str:
    count = journey.scale.compress_epochs
    return f"trained on for {count} epoch{'s' if count > 1 else ''}"


def _cut(journey: Journey, name: str, trained: Model, material: Material) -> Iterator[tuple[float, Module]]:
    """More and more weights at zero, each time while the model trains on; yields a copy of each."""
    twin, reached = copy.deepcopy(trained), 0.0
    masks = Masks.full(twin)
    for share in CUTS:
        steps = journey.scale.compress_epochs * len(material.train)
        schedule = gradual(max(1, steps // 2), share, first=reached)
        _train(journey, f"prune {name}, {share:.0%}", twin, material, masks, schedule=schedule)
        reached = share
        yield share, copy.deepcopy(twin)


def _halved(journey: Journey, name: str, trained: Model, material: Material) -> Shrunk:
    """Half of the filters and neurons gone, and the smaller model trained on."""
    half = shrink(trained, None, 0.5)
    _train(journey, f"halve {name}", half.model, material, Masks(half.model, {}))
    return half


def _train(
    journey: Journey, words: str, model: Module, material: Material, masks: Masks, **options: Any
) -> None:
    fine_tune(
        model,
        material.train,
        masks,
        epochs=journey.scale.compress_epochs,
        lr=LR,
        loss=material.loss,
        validation=cast("Any", material.splits.validation),
        keep_best="loss",
        compile=compile,
        description=words,
        **options,
    )


def _zeros(bench: _Bench, cut: Mapping[float, Module], splits: Splits) -> Iterator[Point]:
    """The points of what was cut, and of int8 codes for what 70 % of zeros leave."""
    for share, made in cut.items():
        note = f"the smallest of all weights, {_in_words(bench.journey)} since the cut before"
        yield bench.point("zeros", bench.step(f"{100 * share:.0f} %", made, note), made)
    seed = bench.journey.seed
    eight = quantize(
        cut[0.7], splits.calibration, "int8", prefer="size", max_loss=np.inf, scan=False, seed=seed
    )
    bench.journey.optimised.setdefault(name_of(bench.model), []).append(eight)
    step = replace(bench.step(MIXED, eight, "codes for what is left"), sparsity=sparsity(cut[0.7]))
    yield bench.point("zeros", step, eight)


def _searched(bench: _Bench, material: Material) -> tuple[list[Point], list[Point], str, bool]:
    """Both files of float32, and the points of a Compressor; which it chose, and whether that is met."""
    search = Compressor(
        bench.model,
        cast("Any", material.train),
        cast("Any", material.splits.validation),
        target_ratio=IMAGES.target_ratio,
        max_loss=IMAGES.max_loss,
        epochs=bench.journey.scale.compress_epochs,
        lr=LR,
        rounds=1,
        seed=bench.journey.seed,
    )
    found = search.run()
    names = [SEARCHED[step.name.split()[0]] for step in search.steps]
    points = []
    for name, step, made in zip(names, search.steps, search.models, strict=True):
        own = bench.model if name == ENCODED else made
        points.append(bench.point(KINDS[name], replace(step, name=name), own))
    return [_with_sizes(_whole(bench), points[0]), points[0]], points[1:], names[found.report.kept], found.met


# ---------------------------------------------------------------- text


def _of_text(journey: Journey, name: str, trained: GPT) -> OnFewer:
    """What needs no training: half of the weights at zero by two scores, and few numbers."""
    splits = part_of(splits_for(trained, data_of(name), journey.seed), journey, name)
    x = trained.example_input
    assert x is not None, "models of the registry have one"
    bench = _Bench(journey, trained, x, splits.test)
    console.notice(
        f"compress {name}: half of the weights at zero, then {NUMBERS} numbers; nothing is trained"
    )
    by_size = prune(trained, 0.5, scope="output").model
    by_input = prune(trained, 0.5, scope="output", score="wanda", calibration=splits.calibration).model
    few = settled(shared(trained, NUMBERS))
    score = Score(trained, splits.validation)
    steps, points = [], []
    for kind, word, model, note in (
        ("whole", ENCODED, trained, ""),
        ("zeros", WANDA, by_input, "of each output, by weight and input, nothing trained"),
        ("numbers", SHARED, few, f"{NUMBERS} numbers a layer, nothing trained"),
    ):
        figure = score.before if model is trained else score.value(model)
        steps.append(replace(bench.step(word, model, note), figure=figure, cost=score.lost(figure)))
        points.append(bench.point(kind, steps[-1], model))
    size = weights_bytes(trained)
    kept = best_of(steps, size, TEXT)
    sparse = bench.sparse(by_input) if journey.scale.compress_sparse_text else None
    widest = max(weights_of(trained).values(), key=lambda w: w.size)
    return OnFewer(
        "bits per byte",
        0,
        0,
        (_with_sizes(_whole(bench), points[0]), *points),
        1 + kept,
        TEXT,
        TEXT.holds(steps[kept], size),
        sparse,
        _even(bench, widest.shape, x.size),
        tested(by_input, by_size, splits.test),
        (maps("Zeros by layer, half of each output", {"magnitude": by_size, "Wanda": by_input}),),
    )


def _even(bench: _Bench, shape: tuple[int, ...], rows: int) -> BreakEven:
    """From which share of zeros on the largest layer would be faster with sparse kernels."""
    n, k = shape
    return break_even(k, n, rows, rounds=min(RACED, bench.rounds), seed=bench.journey.seed)

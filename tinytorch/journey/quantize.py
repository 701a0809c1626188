"""Stage 4, quantize: each model in fewer bits, what that loses and saves, and how fast it is."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from tinytorch import console
from tinytorch.acceleration.compiled import compile
from tinytorch.autograd import no_grad
from tinytorch.journey import page
from tinytorch.journey.images import DATA
from tinytorch.journey.stage import Journey, Stage
from tinytorch.models.registry import Model
from tinytorch.nn.conv import Conv2d
from tinytorch.nn.embedding import Embedding
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Module
from tinytorch.ops.spec import Array
from tinytorch.profiling import words
from tinytorch.profiling.memory.profiler import MemoryProfiler
from tinytorch.profiling.report import chart
from tinytorch.profiling.statistics import Estimate
from tinytorch.profiling.timing.comparison import FASTER
from tinytorch.quantization.calibrate import Batch, Seen, calibrate, inputs_of, quantizable
from tinytorch.quantization.convert import in_eight, inputs_for
from tinytorch.quantization.grid import channel_scales
from tinytorch.quantization.layers import ByRange
from tinytorch.quantization.quantize import quantize
from tinytorch.quantization.report import LayerReport
from tinytorch.quantization.samples import Splits, splits_for, tested
from tinytorch.quantization.scheme import SCHEMES
from tinytorch.quantization.speed import Race, weight_bytes

if TYPE_CHECKING:
    from markupsafe import Markup

FORMS = (("float16", 16), ("int8", 8), ("int4-g128", 4))
"""Schemes that are measured beside float32, and their bits."""
BINS, SHOWN = 64, 4
"""Of a histogram, and layers that have one."""


@dataclass(frozen=True)
class Form:
    """The model in so many bits: its figure on test data, what it loses, with its 95 % interval, bytes of the
    file, of weights in memory, and of weights that the kernels read in a pass.
    """

    name: str
    bits: int
    figure: float
    lost: Estimate | None
    file: int
    resident: int
    read: int | None


@dataclass(frozen=True)
class Histogram:
    """How often numbers were in each of equal bins from `low` to `high`, and the range that has codes.

    `note` says whose range it is.
    """

    title: str
    counts: tuple[int, ...]
    low: float
    high: float
    range: tuple[float, float]
    note: str


@dataclass(frozen=True)
class OnCodes:
    """What the stage found. `figure`: "accuracy" or "bits per byte"; `race`: INT8 beside float32."""

    figure: str
    forms: tuple[Form, ...]
    race: Race | None
    layers: tuple[LayerReport, ...]
    cost: float
    left: tuple[tuple[str, str], ...]
    weights: tuple[Histogram, ...]
    activations: tuple[Histogram, ...]


class QuantizeStage(Stage[OnCodes]):
    """Quantizes what `train` left in the journey; choices see train and validation, figures test."""

    name: ClassVar[str] = "quantize"
    title: ClassVar[str] = "Quantize"

    def run(self, journey: Journey, model: str) -> OnCodes:
        """Measure one model in all forms."""
        trained = journey.models[model]
        trained.eval()
        splits = part_of(splits_for(trained, data_of(model), journey.seed), journey, model)
        console.notice(f"quantize {model}: float16, INT8 and INT4, each layer tried and timed")
        forms = [_form("float32", 32, trained, trained, splits.test)]
        for name, bits in FORMS:
            made = quantize(
                trained, splits.calibration, name, prefer="size", max_loss=1e9, scan=False, seed=journey.seed
            )
            forms.append(_form(name, bits, trained, made, splits.test))
        shipped = quantize(
            trained, splits.calibration, "int8", validation=splits.validation, seed=journey.seed
        )
        journey.optimised.setdefault(model, []).append(shipped)
        report = shipped.report()
        figure = tested(trained, trained, splits.test[:1]).name
        layers = quantizable(trained)
        seen = calibrate(trained, map(inputs_of, splits.calibration[:4]), layers)
        shown = [path for path in _shown(layers) if seen[path].calls]
        return OnCodes(
            figure,
            tuple(forms),
            report.race,
            report.layers,
            report.cost,
            report.left,
            tuple(_of_weight(path, layers[path]) for path in shown),
            tuple(_of_inputs(path, layers[path], seen[path]) for path in shown),
        )

    def figures(self, result: OnCodes) -> dict[str, str]:
        """What INT8 loses, how much smaller its file is, and whether it is faster."""
        whole, eight = result.forms[0], next(form for form in result.forms if form.bits == 8)
        unit = " %" if result.figure == "bits per byte" else " points"
        lost = 0.0 if eight.lost is None else eight.lost.value
        found = {
            "INT8 loses": f"{100 * lost:.2f}{unit}",
            "INT8 file": f"{whole.file / eight.file:.1f}x smaller",
        }
        if result.race is not None:
            found["INT8 pass"] = gained(result.race)
        return found

    def section(self, journey: Journey, results: Mapping[str, OnCodes]) -> Markup:
        """The stage's part of the page."""
        return page.render(
            "quantize.html.jinja",
            stage=self,
            results=results,
            charts={name: _charts(result) for name, result in results.items()},
            gained=gained,
        )


def gained(race: Race) -> str:
    """The gain in two words, as of the stage before."""
    return words.faster(race.gain.value) if race.word == FASTER or race.loses else race.word


def data_of(name: str) -> str:
    """The data set of one of the models."""
    return "pydocs" if name == "gpt" else DATA


def part_of(found: Splits, journey: Journey, name: str) -> Splits:
    """What a journey takes of a model's batches; of text a part, in a quick journey of images too."""
    scale = journey.scale
    if name == "gpt":
        few = max(1, scale.validation_windows // 64)
        return Splits(found.calibration[: 2 * few], found.validation[:few], found.test[: 8 * few])
    tests, few = max(1, (scale.test_images or 10_000) // 500), max(1, (scale.train_images or 1000) // 100)
    return Splits(found.calibration[:few], found.validation[:tests], found.test[:tests])


def _form(name: str, bits: int, before: Model, model: Module, test: list[Batch]) -> Form:
    found = tested(before, model, test)
    given = before.example_input
    assert given is not None, "models of the registry have one"
    with no_grad(), tempfile.TemporaryDirectory() as folder:
        use = MemoryProfiler().profile(model, args=(given,), repeats=1)
        program, path = compile(model), Path(folder) / "program"
        program(given)
        program.save(path, compact=model is not before)
        size = path.stat().st_size
    lost = None if model is before else found.lost
    resident = use.parameters + use.buffers
    return Form(name, bits, found.after, lost, size, resident, weight_bytes(model, given))


# ---------------------------------------------------------------- histograms


def _shown(layers: Mapping[str, Module]) -> list[str]:
    """The first and the last layers that are no embeddings, and some between."""
    paths = [path for path, layer in layers.items() if not isinstance(layer, Embedding)]
    picked = np.linspace(0, len(paths) - 1, min(SHOWN, len(paths))).round().astype(int)
    return [paths[i] for i in picked]


def _histogram(title: str, values: Array, chosen: tuple[float, float], note: str) -> Histogram:
    low, high = float(values.min()), float(values.max())
    counts, edges = np.histogram(values, BINS, (low, high) if high > low else (low - 0.5, low + 0.5))
    return Histogram(title, tuple(map(int, counts)), float(edges[0]), float(edges[-1]), chosen, note)


def _of_weight(path: str, layer: Module) -> Histogram:
    w = layer.weight.data  # type: ignore[attr-defined]
    reach = 127 * channel_scales(w)
    widest, narrowest = float(reach.max()), float(reach.min())
    note = f"codes reach from {narrowest:.2g} to {widest:.2g}, by output"
    return _histogram(path, w.reshape(-1), (-widest, widest), note)


def _of_inputs(path: str, layer: Module, seen: Seen) -> Histogram:
    assert isinstance(layer, Linear | Conv2d), "embeddings are not shown"
    inputs = inputs_for(layer, seen, in_eight(SCHEMES["int8-static"]))
    assert isinstance(inputs, ByRange), "static ones have a range"
    reach = 127 * float(inputs.scale.item())
    low = 0.0 if inputs.low == 0 else -reach
    rows = np.abs(seen.kept).reshape(len(seen.kept), -1).max(1)
    note = (
        f"static range; by row the largest is {np.percentile(rows, 5):.2g} to {np.percentile(rows, 95):.2g}"
    )
    return _histogram(path, seen.values, (low, reach), note)


def _charts(result: OnCodes) -> dict[str, Element | list[Element]]:
    """Figures against bits, and the histograms."""
    rows = [
        chart.Bar(form.name, [(float(form.file), "forward")], words.size(form.file)) for form in result.forms
    ]
    return {
        "bits": [_against_bits(result), chart.bars("Bytes of the file", rows, ())],
        "weights": [_drawn(histogram) for histogram in result.weights],
        "activations": [_drawn(histogram) for histogram in result.activations],
    }


def _against_bits(result: OnCodes, width: int = 420, height: int = 220) -> Element:
    """The figure on test data for 4, 8, 16 and 32 bits, with the 95 % interval of what is lost.

    The scale spans a point of accuracy, or a hundredth of the bits per byte, at least: less is chance.
    """
    accuracy = result.figure == "accuracy"
    unit = 100.0 if accuracy else 1.0
    forms = sorted(result.forms, key=lambda form: form.bits)
    title = (
        "Accuracy on test data, %, by bits" if accuracy else "Bits per byte of test text, by bits of a weight"
    )
    points = [unit * form.figure for form in forms]
    base = points[-1]
    part = unit if accuracy else base
    ends = [_ends(form, base, part, accuracy) for form in forms]
    least = 0.5 if accuracy else 0.005 * base
    marks = chart.ticks(
        min(base - least, *(low for low, _ in ends)), max(base + least, *(high for _, high in ends))
    )
    svg = chart.sheet(width, height, title)
    chart.draw_text(svg, 2, 16, title, "name")
    x = chart.Scale(0, len(forms) - 1, 96, width - 40)
    y = chart.Scale(marks[0], marks[-1], height - 34, 34)
    for mark in marks:
        chart.draw_line(svg, 60, y.at(mark), width - 10, y.at(mark), "grid")
        chart.draw_text(svg, 52, y.at(mark) + 4, f"{mark:.5g}", "tick", "end")
    path = " ".join(f"{x.at(i):.1f},{y.at(point):.1f}" for i, point in enumerate(points))
    SubElement(svg, "polyline", {"points": path, "class": "curve validation"})
    for i, (form, point, (low, high)) in enumerate(zip(forms, points, ends, strict=True)):
        chart.draw_line(svg, x.at(i), y.at(low), x.at(i), y.at(high), "level ours")
        dot = {"cx": f"{x.at(i):.1f}", "cy": f"{y.at(point):.1f}", "r": "4", "class": "dot validation"}
        SubElement(svg, "circle", dot)
        chart.draw_text(svg, x.at(i), height - 14, f"{form.bits} bits", "tick", "middle")
    return svg


def _ends(form: Form, base: float, part: float, accuracy: bool) -> tuple[float, float]:
    """The 95 % interval of a figure, as that of its loss against the figure of float32."""
    if form.lost is None or form.lost.low is None or form.lost.high is None:
        return base, base
    ends = [
        base - part * lost if accuracy else base + part * lost for lost in (form.lost.low, form.lost.high)
    ]
    return min(ends), max(ends)


def _drawn(found: Histogram, width: int = 300, height: int = 130) -> Element:
    """A histogram, square roots of counts so that tails show, and the ends of the range that has codes."""
    svg = chart.sheet(width, height, f"{found.title}: {found.note}")
    chart.draw_text(svg, 2, 14, found.title, "name")
    low, high = min(found.low, found.range[0]), max(found.high, found.range[1])
    x = chart.Scale(low, high, 6, width - 6)
    tallest = max(found.counts) ** 0.5
    bottom, top = height - 34, 24
    step = (found.high - found.low) / len(found.counts)
    for number, count in enumerate(found.counts):
        left, right = x.at(found.low + number * step), x.at(found.low + (number + 1) * step)
        tall = (bottom - top) * count**0.5 / tallest
        size = {"x": f"{left:.1f}", "y": f"{bottom - tall:.1f}", "width": f"{max(right - left, 0.5):.1f}"}
        SubElement(svg, "rect", {**size, "height": f"{tall:.1f}", "class": "bar forward"})
    for end in found.range:
        chart.draw_line(svg, x.at(end), top - 4, x.at(end), bottom, "level ours")
    for value, anchor in ((low, "start"), (high, "end")):
        chart.draw_text(svg, x.at(value), bottom + 14, f"{value:.3g}", "tick", anchor)
    chart.draw_text(svg, 2, height - 5, found.note, "tick")
    return svg

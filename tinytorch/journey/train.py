"""Stage 1, train: each model from scratch, chosen on validation, with one look at the test split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias
from xml.etree.ElementTree import Element

from tinytorch import data
from tinytorch.data import ImageSet
from tinytorch.journey import page
from tinytorch.journey.images import Classified, train_classifier
from tinytorch.journey.language import Wrote, train_writer
from tinytorch.journey.stage import Journey, Stage
from tinytorch.profiling import words
from tinytorch.profiling.report import chart

if TYPE_CHECKING:
    from markupsafe import Markup

Trained: TypeAlias = Classified | Wrote


class Train(Stage[Trained]):
    """Trains classifiers of images on `fashion` and a language model on `pydocs`."""

    name: ClassVar[str] = "train"
    title: ClassVar[str] = "Train"

    def run(self, journey: Journey, model: str) -> Trained:
        """Train one model and keep it for the stages that follow."""
        return train_writer(journey, model) if model == "gpt" else train_classifier(journey, model)

    def figures(self, result: Trained) -> dict[str, str]:
        """The figure on test data, and how long training took."""
        if isinstance(result, Wrote):
            figure = f"{result.test_bits:.3f} bits/byte"
        else:
            figure = f"{words.percent(result.test_accuracy.value)} right"
        return {"test": figure, "training": words.seconds(result.curves.seconds)}

    def section(self, journey: Journey, results: Mapping[str, Trained]) -> Markup:
        """The stage's part of the page: curves, then what the models make of data they have not seen."""
        return page.render(
            "train.html.jinja",
            stage=self,
            classifiers={n: r for n, r in results.items() if isinstance(r, Classified)},
            writers={n: r for n, r in results.items() if isinstance(r, Wrote)},
            charts={name: charts(result) for name, result in results.items()},
            images={n: _images(r) for n, r in results.items() if isinstance(r, Classified)},
        )


def charts(result: Trained) -> list[Element]:
    """The curves of a training run; see `Curves`."""
    if isinstance(result, Wrote):
        return [bits_chart(result)]
    found = result.curves
    steps = [entry["step"] for entry in found.validation]
    losses = [
        chart.Curve("train", found.steps, found.losses, "train"),
        chart.Curve("validation", steps, [entry["loss"] for entry in found.validation], "validation"),
    ]
    return [chart.curves("Loss, nats", "step", losses), accuracy_chart(result)]


def accuracy_chart(result: Classified, title: str = "Accuracy, %") -> Element:
    """Validation accuracy after each epoch."""
    found = result.curves.validation
    right = chart.Curve(
        "validation", [entry["step"] for entry in found], [100 * e["accuracy"] for e in found], "validation"
    )
    return chart.curves(title, "step", [right])


def bits_chart(result: Wrote, title: str = "Bits per byte") -> Element:
    """Bits per byte on training and validation text, beside what n-grams, xz and shipped weights reach."""
    found = result.curves
    nat = 1.4426950408889634  # bits
    lines = [
        chart.Curve("train", found.steps, [loss * nat for loss in found.losses], "train"),
        chart.Curve(
            "validation",
            [entry["step"] for entry in found.validation],
            [entry["bits_per_byte"] for entry in found.validation],
            "validation",
        ),
    ]
    beside = result.validation_baselines
    levels = [chart.Level(name, bits) for name, bits in beside.ngrams.items()]
    levels.append(chart.Level("xz", beside.xz))
    if result.shipped.validation is not None:
        levels.append(chart.Level("shipped", result.shipped.validation, "ours"))
    return chart.curves(title, "step", lines, levels)


def _images(result: Classified) -> dict[int, str]:
    """The images of the guesses shown, by index."""
    test = data.load(result.data, "test")
    assert isinstance(test, ImageSet)
    shown = [*result.at_random, *result.mistakes]
    return {guess.index: page.grey_png(test.pixels[guess.index, 0]) for guess in shown}

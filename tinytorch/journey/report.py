"""The report of a journey: one page that needs nothing else, all figures as JSON, a picture, a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from tinytorch import console
from tinytorch.journey import page
from tinytorch.journey.language import Wrote
from tinytorch.journey.profile import Profiled, module_times, together
from tinytorch.journey.stage import Journey, Stage
from tinytorch.journey.train import Trained, accuracy_chart, bits_chart
from tinytorch.profiling import words
from tinytorch.profiling.environment import Environment
from tinytorch.profiling.report import chart

FORMAT, VERSION = "tinytorch-journey", 1
_PANEL, _GAP = chart.WIDTH, 28


def figures(
    journey: Journey, machine: Environment, seconds: float, interrupted: bool = False
) -> dict[str, Any]:
    """All figures of a run in lists, dicts, numbers and text; what is not finite becomes None."""
    run = {
        "command": journey.command,
        "models": list(journey.names),
        "scale": asdict(journey.scale),
        "seed": journey.seed,
        "seconds": seconds,
        "interrupted": interrupted,
        "machine": asdict(machine),
    }
    stages = {
        stage: {name: asdict(result) for name, result in results.items()}
        for stage, results in journey.results.items()
    }
    found = _finite({"format": FORMAT, "version": VERSION, "run": run, "stages": stages})
    assert isinstance(found, dict)
    return found


def html(
    journey: Journey,
    stages: Sequence[Stage[Any]],
    machine: Environment,
    seconds: float,
    interrupted: bool = False,
    figures_file: str = "journey.json",
) -> str:
    """The page."""
    columns, rows = summary(journey, stages)
    words = [name.upper() for name in journey.names]
    return page.render(
        "index.html.jinja",
        journey=journey,
        machine=machine,
        seconds_in_all=seconds,
        interrupted=interrupted,
        models_in_words=" and ".join(filter(None, [", ".join(words[:-1]), words[-1]])),
        columns=columns,
        rows=rows,
        sections=[
            stage.section(journey, journey.results[stage.name])
            for stage in stages
            if journey.results.get(stage.name)
        ],
        figures_file=figures_file,
    )


def summary(journey: Journey, stages: Sequence[Stage[Any]]) -> tuple[list[str], list[list[str]]]:
    """The table at the end: names of its columns, and a row for each model that got somewhere."""
    found: dict[str, dict[str, str]] = {}
    for stage in stages:
        for name, result in journey.results.get(stage.name, {}).items():
            found.setdefault(name, {}).update(stage.figures(result))
    columns = list(dict.fromkeys(column for cells in found.values() for column in cells))
    return columns, [[name, *(cells.get(column, "-") for column in columns)] for name, cells in found.items()]


def say_summary(journey: Journey, stages: Sequence[Stage[Any]]) -> None:
    """Write the table at the end to the console."""
    columns, rows = summary(journey, stages)
    title = "Quick journey (a part of the test data)" if journey.scale.name == "quick" else "Journey"
    console.table(title, ["model", *columns], rows)


def picture(journey: Journey) -> str:
    """The run as one SVG: validation curves above, and time by module of a training step below."""
    trained, profiled = journey.results.get("train", {}), journey.results.get("profile", {})
    above = [_curve(name, result) for name, result in trained.items()]
    below = [_modules(name, r) for name, r in profiled.items() if isinstance(r, Profiled)]
    return chart.markup(_sheet([above, below], "TinyTorch journey: curves, and time by module"))


def _curve(name: str, result: Trained) -> Element:
    """What validation said on the way, under a title with the figure on test data."""
    if isinstance(result, Wrote):
        return bits_chart(result, f"{name.upper()}: bits per byte (test {result.test_bits:.2f})")
    part = 100 * result.test_accuracy.value
    return accuracy_chart(result, f"{name.upper()}: accuracy, % (test {part:.1f})")


def _modules(name: str, result: Profiled, most: int = 9) -> Element:
    """Time by module of a training step, the smaller ones added up."""
    rows = together(module_times(result.step))
    timing = result.step.timing
    assert timing is not None
    shown = [(row.name, row.seconds, row.backward) for row in rows[:most]]
    rest = rows[most:]
    if rest:
        total, backward = sum(row.seconds for row in rest), sum(row.backward for row in rest)
        shown.append((f"{len(rest)} more", total, backward))
    bars = [
        chart.Bar(label, [(total - backward, "forward"), (backward, "backward")], words.seconds(total))
        for label, total, backward in shown
    ]
    return chart.bars(
        f"{name.upper()}: a training step, {words.seconds(timing.p50.value)}", bars, ("forward", "backward")
    )


def _sheet(rows: Sequence[Sequence[Element]], title: str) -> Element:
    """Charts side by side and row by row on one sheet with its own style and paper."""
    sheet = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "class": "chart", "role": "img"})
    SubElement(sheet, "title").text = title
    SubElement(sheet, "style").text = page.render("palette.css.jinja") + ".paper { fill: var(--paper); }"
    paper = SubElement(sheet, "rect", {"width": "100%", "height": "100%", "class": "paper"})
    right = y = float(_GAP)
    for row in filter(None, rows):
        x, height = float(_GAP), 0.0
        for panel in row:
            _, _, width, tall = map(float, panel.attrib["viewBox"].split())
            panel.attrib.update(x=f"{x:g}", y=f"{y:g}", width=f"{width:g}", height=f"{tall:g}")
            sheet.append(panel)
            x, height = x + width + _GAP, max(height, tall)
        right, y = max(right, x), y + height + _GAP
    sheet.set("viewBox", f"0 0 {right:g} {y:g}")
    paper.set("rx", "8")
    return sheet


def _finite(value: Any) -> Any:
    """The same structure with lists for tuples and None for what is not finite."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

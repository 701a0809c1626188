"""The driver of the journey: stages added to it, and the ways in which a run can end."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from markupsafe import Markup

from tests.journey.html_check import Page
from tests.journey.scales import TINY
from tinytorch import console
from tinytorch.errors import CheckpointError, DataError
from tinytorch.journey import Journey, Stage, take_journey


@dataclass(frozen=True)
class Letters:
    letters: int
    odd: Any = None


class Count(Stage[Letters]):
    """A stage of ours."""

    name: ClassVar[str] = "count"
    title: ClassVar[str] = "Count"

    def run(self, journey: Journey, model: str) -> Letters:
        return Letters(len(model))

    def figures(self, result: Letters) -> dict[str, str]:
        return {"letters": str(result.letters)}

    def section(self, journey: Journey, results: Any) -> Markup:
        return Markup("<section><h2>{}</h2></section>").format(f"<{len(results)} counted>")


class Stopped(Count):
    """The same, but the second model is interrupted, or ends in an error."""

    def __init__(self, error: BaseException, at: str) -> None:
        self.error, self.at = error, at

    def run(self, journey: Journey, model: str) -> Letters:
        if model == self.at:
            raise self.error
        return super().run(journey, model)


def test_a_stage_can_be_added(tmp_path: Path) -> None:
    found = take_journey(["mlp", "cnn"], tmp_path, scale=TINY, stages=[Count()])
    assert found.results == {"count": {"mlp": Letters(3), "cnn": Letters(3)}}
    figures = json.loads((tmp_path / "journey.json").read_text())
    assert figures["stages"]["count"]["cnn"] == {"letters": 3, "odd": None}
    shown = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert shown.problems == []
    assert "<2 counted>" in shown.words
    assert "letters" in shown.words


def test_ctrl_c_keeps_what_was_done_beside_the_earlier_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take_journey(["mlp"], tmp_path, stages=[Count()])
    earlier = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    console.set_quiet(False)
    with pytest.raises(KeyboardInterrupt):
        take_journey(["mlp", "cnn"], tmp_path, stages=[Stopped(KeyboardInterrupt(), at="cnn")])
    assert "count mlp" in capsys.readouterr().err
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert earlier.items() <= after.items()
    assert set(after) - set(earlier) == {"interrupted.html", "interrupted.json"}
    assert json.loads(after["interrupted.json"])["run"]["interrupted"] is True
    assert "Interrupted." in Page(after["interrupted.html"].decode()).words
    with pytest.raises(KeyboardInterrupt):
        take_journey(["mlp"], tmp_path / "new", stages=[Stopped(KeyboardInterrupt(), at="mlp")])
    assert "nothing was kept" in capsys.readouterr().err
    assert list((tmp_path / "new").iterdir()) == []
    console.set_quiet(True)


def test_an_error_on_the_way_leaves_the_earlier_report(tmp_path: Path) -> None:
    class Unshowable(Count):
        def section(self, journey: Journey, results: Any) -> Markup:
            raise ZeroDivisionError

    take_journey(["mlp"], tmp_path, stages=[Count()])
    earlier = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for stage in (Unshowable(), Stopped(ZeroDivisionError(), at="mlp")):
        with pytest.raises(ZeroDivisionError):
            take_journey(["mlp"], tmp_path, stages=[stage])
    assert earlier == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_figures_that_are_not_finite_become_null(tmp_path: Path) -> None:
    class Odd(Count):
        def run(self, journey: Journey, model: str) -> Letters:
            return Letters(1, [math.nan, (math.inf, 1.5)])

    take_journey(["mlp"], tmp_path, stages=[Odd()])
    found = json.loads((tmp_path / "journey.json").read_text())
    assert found["stages"]["count"]["mlp"]["odd"] == [None, [None, 1.5]]


@pytest.mark.parametrize("names", [["resnet"], ["mlp", "resnet"], []])
def test_unknown_models_are_refused_before_any_work(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mlp, cnn, gpt"):
        take_journey(names, tmp_path / "out", stages=[Count()])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("which", ["folder", "picture"])
def test_places_that_cannot_be_written_are_refused_before_any_work(which: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / ("file" if which == "folder" else "out")
    picture = None if which == "folder" else tmp_path / "file" / "p.svg"
    with pytest.raises(CheckpointError, match="cannot be written"):
        take_journey(["mlp"], out, picture=picture, stages=[Stopped(AssertionError("it ran"), at="mlp")])
    assert (tmp_path / "file").read_text() == "in the way"

"""Milestones: what they state, what counts as passed, and that they run on the learner's code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.learn.tiny import ROOT, solve, tito
from tinytorch.errors import LearnError
from tinytorch.learn.course import milestones_folder, read_lesson
from tinytorch.learn.drawing import beside, shades
from tinytorch.learn.experiment import SEEDS, predictions, reaches
from tinytorch.learn.milestone import Milestone, Outcome, attempt, find, milestones, read, read_figures
from tinytorch.learn.work import Piece
from tinytorch.nn import Flatten

NAMES = ["1957_perceptron", "1969_xor", "1986_mlp", "1998_cnn", "2017_transformer", "2018_mlperf"]
LAYERS = """
title = "Layers"
minutes = 20
summary = "One method."

[[exercise]]
name = "tinytorch.nn.layers:Linear.forward"

[[exercise]]
name = "tinytorch.nn.layers:LayerNorm.forward"
"""


def piece(folder: Path, body: str) -> Piece:
    """A learner's Linear.forward with this body."""
    file = folder / "04_layers.py"
    file.write_text(f"class Linear:\n    def forward(self, x):\n        {body}\n", encoding="utf-8")
    return Piece("tinytorch.nn.layers", "Linear.forward", str(file))


@pytest.fixture
def toy(tmp_path: Path) -> Milestone:
    path = tmp_path / "1900_toy.py"
    path.write_text('"""1900, a toy."""\nLESSON = 4\nGOALS = {"accuracy": (">=", 0.9)}\n', encoding="utf-8")
    return read(path)


# ---------------------------------------------------------------- what they state


def test_all_state_their_needs_and_goals_and_are_short() -> None:
    found = milestones()
    assert [m.name for m in found] == NAMES
    assert [m.lesson for m in found] == ["04", "07", "08", "10", "14", "20"]
    for milestone in found:
        assert milestone.title.startswith(milestone.name[:4])
        assert len(milestone.path.read_text(encoding="utf-8").splitlines()) <= 180
    assert find("xor").goals == {
        "one layer: share of four points": ("<=", 0.75),
        "hidden layer: share of four points": (">=", 1.0),
    }
    targets = {name: [target for _, target in find(name).goals.values()] for name in NAMES}
    assert targets["1957_perceptron"] == [0.98]
    assert targets["1986_mlp"] == [0.965]
    assert targets["1998_cnn"] == [0.98]
    assert targets["2017_transformer"] == [0.99, 0.0]
    assert targets["2018_mlperf"] == [1.5, 1.0, 0.03, 0.3]


def test_one_is_found_by_year_name_or_both() -> None:
    assert find("1969") == find("XOR") == find("1969_xor")
    with pytest.raises(LearnError, match="1957_perceptron"):
        find("1970")


@pytest.mark.parametrize(
    "text",
    [
        "LESSON = 4\nGOALS = {'a': ('>=', 1)}\n",
        '"""A toy."""\nGOALS = {"a": (">=", 1)}\n',
        '"""A toy."""\nLESSON = 4\nGOALS = {}\n',
        '"""A toy."""\nLESSON = 4\nGOALS = {"a": ("about", 1)}\n',
        '"""A toy."""\nLESSON = 4\nGOALS = dict(a=(">=", 1))\n',
        "this does not parse",
    ],
)
def test_a_program_that_states_no_goals_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "1900_toy.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LearnError, match="1900_toy"):
        read(path)


# ---------------------------------------------------------------- what counts


def test_only_the_mean_of_the_right_seeds_passes(toy: Milestone) -> None:
    good = {"accuracy": (1.0, 0.8, 0.9)}
    assert Outcome(0, SEEDS, good).passed(toy)
    assert not Outcome(1, SEEDS, good).passed(toy)
    assert not Outcome(0, SEEDS, {"accuracy": (1.0, 0.8, 0.8)}).passed(toy)
    assert not Outcome(0, SEEDS, None).passed(toy)
    quick = Outcome(0, (0,), {"accuracy": (1.0,)})
    assert quick.reached(toy)
    assert not quick.passed(toy)


@pytest.mark.parametrize(
    "report",
    [
        "",
        "[]",
        "not json",
        '{"seeds": [0, 1, 2]}',
        '{"seeds": [0, 1], "figures": {"accuracy": [1, 1]}}',
        '{"seeds": [0, 1, 2], "figures": {"accuracy": [1, 1]}}',
        '{"seeds": [0, 1, 2], "figures": {"accuracy": [1, 1, NaN]}}',
        '{"seeds": [0, 1, 2], "figures": {"accuracy": [1, 1, "1"]}}',
        '{"seeds": [0, 1, 2], "figures": {"speed": [1, 1, 1]}}',
        '{"seeds": [0, 1, 2], "figures": [["accuracy", [1, 1, 1]]]}',
    ],
)
def test_a_report_that_is_not_whole_counts_for_nothing(report: str, toy: Milestone, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(report, encoding="utf-8")
    assert read_figures(path, toy, SEEDS) is None
    assert read_figures(tmp_path / "absent.json", toy, SEEDS) is None


def test_a_whole_report_is_read(toy: Milestone, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text('{"seeds": [0, 1, 2], "figures": {"accuracy": [1, 0.5, 0]}}', encoding="utf-8")
    assert read_figures(path, toy, SEEDS) == {"accuracy": (1.0, 0.5, 0.0)}


def test_a_goal_takes_a_known_relation() -> None:
    assert reaches([0.5, 1.0], ("<=", 0.75))
    assert not reaches([], (">=", 0.0))
    with pytest.raises(LearnError, match="about"):
        reaches([1.0], ("about", 1.0))


def test_predictions_are_the_largest_outputs() -> None:
    images = np.array([[[0.1, 0.9]], [[0.8, 0.2]]], np.float32)
    assert predictions(Flatten(), images).tolist() == [1, 0]


def test_pictures_of_characters() -> None:
    assert shades(np.zeros((2, 3)), wide=1) == ["   ", "   "]
    assert shades(np.array([[np.nan, -9.0, 9.0]]), 0, 1, wide=1) == ["  @"]
    assert beside(["a"], ["b", "c"], gap=1) == ["a b", "  c"]


# ---------------------------------------------------------------- running on the learner's code


def test_right_code_reaches_the_goal_and_is_named(tmp_path: Path) -> None:
    mine = piece(tmp_path, "return (self.weight @ x.T).T + self.bias")
    milestone = find("1957")
    outcome = attempt(milestone, [mine], tmp_path / "pictures" / "p.png")
    assert outcome.passed(milestone)
    assert [(name, file) for name, file, _ in outcome.ran] == [("Linear.forward", mine.file)]
    assert (tmp_path / "pictures" / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("1957", "return x @ self.weight.T * 0.0 + 1.0"),
        ("1969", "return (x * x) @ self.weight.T + self.bias - x[:, :1] * x[:, 1:2] * 3.0"),
        ("1957", "raise ValueError('mine')"),
        ("1957", "import os; os._exit(0)"),
        ("1957", "import sys; sys.exit(0)"),
    ],
    ids=["says yes always", "a single layer that can do XOR", "raises", "ends at once", "ends politely"],
)
def test_wrong_code_does_not_pass(name: str, body: str, tmp_path: Path) -> None:
    milestone = find(name)
    outcome = attempt(milestone, [piece(tmp_path, body)], tmp_path / "p.png")
    assert not outcome.passed(milestone)
    assert not outcome.reached(milestone)


def test_a_mask_that_lets_the_model_look_ahead_does_not_pass(tmp_path: Path) -> None:
    file = tmp_path / "13_attention.py"
    body = "return np.ones((queries, keys), dtype=bool)"
    file.write_text(f"def causal_mask(queries, keys):\n    {body}\n", encoding="utf-8")
    milestone = find("2017")
    peeking = [Piece("tinytorch.ops.attention", "causal_mask", str(file))]
    outcome = attempt(milestone, peeking, tmp_path / "p.png", seeds=[0])
    assert outcome.figures is not None
    assert outcome.figures["bits per byte saved beside a bigram"][0] < 0
    assert not outcome.reached(milestone)


def test_a_defence_that_believes_everybody_does_not_pass(tmp_path: Path) -> None:
    file = tmp_path / "20_benchmarking.py"
    file.write_text("def knows_by_heart(gap):\n    return False\n", encoding="utf-8")
    milestone = find("mlperf")
    trusting = [Piece("tinytorch.benchmarking.score", "knows_by_heart", str(file))]
    outcome = attempt(milestone, trusting, tmp_path / "p.png", seeds=[0])
    assert outcome.figures is not None
    assert outcome.figures["share of verdicts that are right"] == (0.75,)
    assert outcome.figures["overall, times the baseline"][0] >= 1.5
    assert not outcome.reached(milestone)


@pytest.mark.parametrize("name", ["1957_perceptron", "1969_xor", "1986_mlp"])
def test_a_program_runs_alone_on_a_narrow_plain_console(name: str, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, str(milestones_folder() / f"{name}.py"), "--seeds", "0", "--result", str(result)],
        env={
            **os.environ,
            "PYTHONIOENCODING": "cp1252",
            "TERM": "dumb",
            "COLUMNS": "60",
            "PYTHONPATH": str(ROOT),
        },
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert done.stdout.isascii()
    assert max(map(len, done.stdout.decode("ascii").splitlines())) <= 60
    assert set(json.loads(result.read_text(encoding="utf-8"))["figures"]) == set(find(name).goals)


# ---------------------------------------------------------------- the command


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    """A course whose one lesson is 04, and a workspace for it."""
    lesson = tmp_path / "lessons" / "04_layers"
    lesson.mkdir(parents=True)
    (lesson / "lesson.toml").write_text(LAYERS, encoding="utf-8")
    workspace = tmp_path / "mon \u00e9t\u00e9"
    assert tito(tmp_path / "lessons", tmp_path, "begin", str(workspace))[0] == 0
    return tmp_path / "lessons", workspace


def test_the_command_names_what_is_missing(place: tuple[Path, Path]) -> None:
    lessons, workspace = place
    code, said = tito(lessons, workspace, "milestone", "1957")
    assert code == 1
    assert "04 Layers: all of it" in said
    assert "tito start 04" in said
    assert tito(lessons, workspace, "start", "04")[0] == 0
    solve(workspace / "work" / "04_layers.py", read_lesson(lessons / "04_layers"), "Linear.forward")
    code, said = tito(lessons, workspace, "milestone", "1957")
    assert code == 1
    assert "04 Layers: LayerNorm.forward" in said
    assert not (workspace / "milestones").exists()


def test_the_command_runs_on_the_learners_code_and_notes_what_passed(place: tuple[Path, Path]) -> None:
    lessons, workspace = place
    tito(lessons, workspace, "start", "04")
    solve(workspace / "work" / "04_layers.py", read_lesson(lessons / "04_layers"))
    code, said = tito(lessons, workspace, "milestone", "1957", PYTHONIOENCODING="cp1252", TERM="dumb")
    assert code == 0, said
    assert "work/04_layers.py: Linear.forward\n" in said.replace("\r", "")
    assert "1957_perceptron passed on your code." in said
    noted = json.loads((workspace / ".tito" / "progress.json").read_text(encoding="utf-8"))
    assert set(noted["milestones"]) == {"1957_perceptron"}
    assert (workspace / "milestones" / "1957_perceptron.png").is_file()
    assert "passed 2" in tito(lessons, workspace, "milestone", COLUMNS="60")[1]


def test_one_seed_and_the_reference_do_not_count(place: tuple[Path, Path]) -> None:
    lessons, workspace = place
    code, said = tito(lessons, workspace, "milestone", "1957", "--reference", "--quick")
    assert code == 0
    assert "does not count" in said
    assert (workspace / "milestones" / "1957_perceptron-reference.png").is_file()
    tito(lessons, workspace, "start", "04")
    solve(workspace / "work" / "04_layers.py", read_lesson(lessons / "04_layers"))
    code, said = tito(lessons, workspace, "milestone", "1957", "--quick")
    assert code == 0
    assert "To pass: tito milestone 1957" in said
    progress = json.loads((workspace / ".tito" / "progress.json").read_text(encoding="utf-8"))
    assert progress["milestones"] == {}


def test_outside_of_a_workspace_the_list_says_what_to_do(place: tuple[Path, Path], tmp_path: Path) -> None:
    code, said = tito(place[0], tmp_path, "milestone", COLUMNS="60")
    assert code == 0
    assert all(name[:4] in said for name in NAMES)
    assert "tito begin" in said
    assert max(map(len, said.splitlines())) <= 60
    assert tito(place[0], tmp_path, "milestone", "1957")[0] == 1

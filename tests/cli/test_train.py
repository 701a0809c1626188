"""`tito train` from the first step to the test figure: its files, how it goes on, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from tinytorch import console
from tinytorch.cli.main import run
from tinytorch.models import load_weights
from tinytorch.random import default_generator
from tinytorch.training.recipes import RECIPES


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*arguments: str) -> int:
    code = run(["--quiet", "train", *arguments])
    console.set_quiet(False)
    return code


def test_a_run_writes_weights_and_history_and_says_the_test_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("mlp", "--data", "digits", "--epochs", "6", "--batch", "64", "--seed", "3") == 0
    folder = tmp_path / "runs" / "mlp-digits"
    shown = capsys.readouterr().out
    assert "tito train mlp --data digits --epochs 6 --batch 64 --lr 0.003 --seed 3" in shown
    report = json.loads((folder / "history.json").read_text())
    assert f"{report['test']['accuracy']:.4f}" in shown
    assert report["test"]["accuracy"] > 0.9
    assert report["settings"]["batch"] == 64
    assert len(report["losses"]) == 6 * 19
    assert len(report["validation"]) == 6
    with safe_open(folder / "checkpoint.safetensors", "numpy") as file:
        assert json.loads(file.metadata()["state"])["loader"]["seed"] == 3
    model = load_weights(folder / "weights.safetensors")
    assert model.config() == {"sizes": [64, 512, 10]}


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    weights = []
    for number, seed in enumerate(("1", "1", "2")):
        default_generator.rand(number + 1)  # what was drawn before must not count
        out = tmp_path / str(number)
        assert train("cnn", "--data", "digits", "--steps", "3", "--seed", seed, "--out", str(out)) == 0
        weights.append(load_file(out / "weights.safetensors")["fc1.weight"])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_ctrl_c_and_resume_give_the_weights_of_an_unbroken_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import signal

    from tinytorch.data import ImageSet

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    arguments = ("mlp", "--data", "digits", "--steps", "60", "--lr", "0.01")
    assert train(*arguments, "--out", str(whole)) == 0

    batch, calls = ImageSet.batch, 0

    def pressed(self: ImageSet, indices: object) -> object:
        nonlocal calls
        calls += self.split == "validation"
        if calls == 1 and self.split == "validation":
            signal.raise_signal(signal.SIGINT)
        return batch(self, indices)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageSet, "batch", pressed)
        assert train(*arguments, "--out", str(broken)) == 130
    assert not (broken / "history.json").exists()
    assert train(*arguments, "--out", str(broken)) == 1
    assert "--resume" in capsys.readouterr().err
    assert train("mlp", "--data", "digits", "--lr", "0.02", "--out", str(broken), "--resume") == 1
    assert "lr 0.01, not 0.02" in capsys.readouterr().err
    assert train("mlp", "--data", "digits", "--out", str(broken), "--resume") == 0
    a, b = (load_file(folder / "weights.safetensors") for folder in (whole, broken))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    reports = [json.loads((folder / "history.json").read_text()) for folder in (whole, broken)]
    assert reports[0]["losses"] == reports[1]["losses"]
    assert reports[0]["test"] == reports[1]["test"]


def test_training_goes_on_from_a_file_of_weights_with_a_compiled_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = ("mlp", "--data", "digits", "--steps", "40")
    assert train(*begin, "--out", str(tmp_path / "a")) == 0
    weights = str(tmp_path / "a" / "weights.safetensors")
    found = []
    for name, more in (("b", []), ("c", ["--compile"])):
        out = tmp_path / name
        assert train(*begin, "--seed", "1", "--weights", weights, *more, "--out", str(out)) == 0
        found.append(json.loads((out / "history.json").read_text()))
    eager, compiled = found
    assert eager["losses"][0] < 1.5  # untrained: 2.3
    np.testing.assert_allclose(eager["losses"], compiled["losses"], rtol=1e-3)
    assert compiled["command"].endswith(f"--weights {weights} --compile")
    capsys.readouterr()
    assert train("cnn", "--data", "digits", "--weights", weights, "--out", str(tmp_path / "d")) == 1
    assert "weights of model mlp, not of cnn" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_resume_where_nothing_was_begun(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("mlp", "--data", "digits", "--resume") == 1
    assert "holds no run" in capsys.readouterr().err


def test_resume_from_settings_that_are_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("{", "[]", "{}"):
        (tmp_path / "settings.json").write_text(text)
        assert train("mlp", "--data", "digits", "--resume", "--out", str(tmp_path)) == 1
        assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["mlp", "--data", "pydocs"], 1, "fashion"),
        (["gpt", "--data", "digits"], 1, "pydocs"),
        (["mlp", "--data", "nothing"], 1, "nothing"),
        (["mlp", "--data", "digits", "--epochs", "1", "--steps", "2"], 2, "not both"),
        (["gpt", "--data", "pydocs", "--epochs", "1"], 2, "--steps"),
        (["mlp", "--data", "digits", "--batch", "0"], 2, "--batch"),
        (["mlp", "--data", "digits", "--lr", "0"], 2, "--lr"),
        (["mlp", "--data", "digits", "--threads", "0"], 2, "--threads"),
        (["rnn", "--data", "digits"], 2, "rnn"),
        (["mlp"], 2, "--data"),
    ],
)
def test_what_it_refuses(
    arguments: list[str], code: int, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(*arguments) == code
    assert word in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_every_recipe_says_how_long() -> None:
    for (model, _), recipe in RECIPES.items():
        assert (recipe.steps is None) != (recipe.epochs is None)
        assert (model == "gpt") == (recipe.steps is not None)

"""`tito prune`, `tito compress`, `tito distill`: what they say and write, and their exit codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import console
from tinytorch.cli.main import run
from tinytorch.data import DataLoader, load
from tinytorch.models import build, load_weights, save_weights
from tinytorch.optim import AdamW
from tinytorch.random import Generator
from tinytorch.training import Trainer


@pytest.fixture(autouse=True)
def _spoken() -> object:
    yield
    console.set_quiet(False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLP that knows digits."""
    model = build("mlp", sizes=(64, 48, 10), generator=Generator(1))
    trainer = Trainer(model, AdamW(model.parameters(), lr=3e-3), tt.nn.CrossEntropyLoss())
    trainer.fit(DataLoader(load("digits", "train"), 32, shuffle=True), epochs=6)
    path = tmp_path_factory.mktemp("model") / "weights.safetensors"
    save_weights(model, path)
    return path


def tito(*words: object) -> int:
    return run(["--quiet", *map(str, words)])


def test_prune_writes_a_program_with_zeros(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.ttc"
    assert tito("prune", weights, "--sparsity", 0.8, "--data", "digits", "--epochs", 4, "--out", out) == 0
    shown = capsys.readouterr().out
    for word in ("layers.0", "80.0%", "test: accuracy", "x smaller than"):
        assert word in shown
    states = [t.data for t in tt.load_program(out).graph.states.values() if t.ndim == 2]
    zeros = sum(int((w == 0).sum()) for w in states)
    assert zeros == round(0.8 * sum(w.size for w in states))


def test_prune_writes_weights_to_go_on_with(weights: Path, tmp_path: Path) -> None:
    zeroed, halved = tmp_path / "z.safetensors", tmp_path / "h.safetensors"
    assert tito("prune", weights, "--data", "digits", "--score", "wanda", "--epochs", 1, "--out", zeroed) == 0
    assert np.mean(load_weights(zeroed).layers[0].weight.data == 0) > 0.5
    words = ["--structured", "--sparsity", 0.5, "--data", "digits", "--epochs", 1, "--out", halved]
    assert tito("prune", weights, *words) == 0
    assert load_weights(halved).sizes == (64, 24, 10)


def test_compress_meets_its_budget(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "c.ttc"
    words = [
        "--target",
        "8x",
        "--max-loss",
        8,
        "--data",
        "digits",
        "--epochs",
        4,
        "--rounds",
        1,
        "--out",
        out,
    ]
    assert tito("compress", weights, *words) == 0
    shown = capsys.readouterr().out
    for word in ("pruned 1", "shared 1", "codes 1", "8x smaller, at most 0.08 lost: met", "test: accuracy"):
        assert word in shown
    assert out.stat().st_size * 8 <= weights.stat().st_size
    assert tt.load_program(out)(tt.Tensor(np.zeros((1, 64), np.float32))).shape == (1, 10)


def test_a_budget_out_of_reach_ends_with_1_and_a_file(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "c.ttc"
    words = [
        "--target",
        "400",
        "--max-loss",
        0,
        "--data",
        "digits",
        "--epochs",
        1,
        "--rounds",
        1,
        "--out",
        out,
    ]
    assert tito("compress", weights, *words) == 1
    assert "NOT met, this is the best found" in capsys.readouterr().out
    assert tt.load_program(out).inputs[0].shape == (1, 64)


def test_distill_trains_a_student(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "s.safetensors"
    words = ["--student", "mlp:64-12-10", "--data", "digits", "--epochs", 8, "--out", out]
    assert tito("distill", weights, *words) == 0
    assert "student: 910" in capsys.readouterr().out
    assert load_weights(out).sizes == (64, 12, 10)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prune", "mlp", "--sparsity", "0", "--data", "fashion"], "above 0 and below 1"),
        (["prune", "mlp", "--sparsity", "1", "--data", "fashion"], "above 0 and below 1"),
        (["prune", "mlp", "--sparsity", "1.5", "--data", "fashion"], "above 0 and below 1"),
        (["prune", "mlp", "--data", "pydocs"], "MLP takes images"),
        (["prune", "other", "--data", "fashion"], "'other' is no model"),
        (["prune", "mlp", "--structured", "--sparsity", "1", "--data", "fashion"], "above 0 and below 1"),
        (["compress", "minilm", "--data", "fashion"], "mlp, cnn and gpt"),
        (["distill", "gpt", "--data", "pydocs"], "classify images"),
        (["distill", "mlp", "--student", "mlp:a-b", "--data", "fashion"], "no student 'mlp:a-b'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.ttc"
    assert run([*words, "--out", str(out)]) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("target", ["1x", "0", "x", "-3", "twenty"])
def test_a_target_that_is_none(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compress", "mlp", "--target", target, "--data", "fashion", "--out", str(tmp_path / "c.ttc")]
    assert run(words) == 2
    assert "is no target" in capsys.readouterr().err

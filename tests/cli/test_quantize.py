"""`tito quantize`: the report, the file and what it holds, and one line for what cannot be quantized."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import console
from tinytorch.cli.main import run
from tinytorch.models import build, save_weights
from tinytorch.models.pretrained import load_pretrained


@pytest.fixture(autouse=True)
def _spoken() -> object:
    yield
    console.set_quiet(False)


def test_a_model_that_ships_becomes_a_small_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mlp.ttc"
    words = ["--quiet", "quantize", "mlp", "--scheme", "mixed", "--data", "fashion", "--out", str(out)]
    assert run(words) == 0
    shown = capsys.readouterr().out
    for word in ("layers.0", "SQNR", "resident", "test: accuracy", "points lost", "x smaller than"):
        assert word in shown
    model = load_pretrained("mlp")
    program, x = tt.load_program(out), model.example_input
    assert x is not None
    with tt.no_grad():
        wanted, found = model(x).data, program(x)
    assert isinstance(found, tt.Tensor)
    assert np.abs(wanted - found.data).max() < 0.2 * np.abs(wanted).max()
    assert out.stat().st_size * 8 < 4 * model.num_parameters()


def test_a_file_of_weights_and_a_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, out = tmp_path / "weights.safetensors", tmp_path / "small.ttc"
    save_weights(build("mlp", sizes=(64, 16, 10)), weights)
    words = ["--scheme", "int8", "--prefer", "size", "--data", "digits", "--batch", "3", "--max-loss", "1"]
    assert run(["--quiet", "quantize", str(weights), *words, "--out", str(out)]) == 0
    assert [spec.shape for spec in tt.load_program(out).inputs] == [(3, 64)]
    assert "kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mlp", "--scheme", "int3", "--data", "fashion"], "there is no scheme 'int3'; there are: int8"),
        (["mlp", "--data", "pydocs"], "MLP takes images"),
        (["gpt", "--data", "fashion"], "GPT takes text"),
        (["mlp", "--data", "nothing"], "there is no data set 'nothing'"),
        (["nothing.safetensors", "--data", "fashion"], "there is no such file"),
        (["other", "--data", "fashion"], "'other' is no model"),
    ],
)
def test_what_cannot_be_quantized_is_said_in_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.ttc"
    assert run(["quantize", *words, "--out", str(out)]) != 0
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert not out.exists()

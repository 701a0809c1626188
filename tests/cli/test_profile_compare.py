"""`tito profile compare`: architectures side by side, their scaling, and JSON with the same figures."""

import json
from pathlib import Path

import pytest

from tinytorch.cli.main import run
from tinytorch.models import load_pretrained
from tinytorch.profiling.counting.flops import FLOPCounter
from tinytorch.threads import get_num_threads, set_num_threads


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("COLUMNS", "200")
    before = get_num_threads()
    yield
    set_num_threads(before)


def compare(*arguments: str) -> int:
    return run(["profile", "compare", *arguments])


def test_all_three_side_by_side_and_how_they_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "compared.json"
    assert compare("--quick", "--scaling", "--json", str(file)) == 0
    out = capsys.readouterr().out
    for word in (
        "mlp",
        "cnn",
        "gpt",
        "intensity, FLOP/byte",
        "memory a pass adds",
        "of what the roof allows",
    ):
        assert word in out
    assert "gpt: Attention takes" in out
    assert "Attention passes half of a block's time: without its projections, " in out
    assert "attention op  length 32 to 256  2.00 " in out
    found = json.loads(file.read_text())
    assert [model["name"] for model in found["models"]] == ["mlp", "cnn", "gpt"]
    for model in found["models"]:
        assert model["flops"] == FLOPCounter("all").count(load_pretrained(model["name"]))
        assert model["seconds"]["value"] > 0
    share = found["attention"]["gpt"]
    assert 0 < share["core"]["value"] < share["module"]["value"] < 1
    assert "batch 1, 128 tokens, eval, 1 thread" in share["configuration"]
    grown = {(one["name"], one["axis"]): one for one in found["scaling"]}
    assert set(grown) == {
        ("MLP", "batch"),
        ("MLP", "width"),
        ("CNN", "batch"),
        ("CNN", "side"),
        ("GPT", "batch"),
        ("GPT", "width"),
        ("GPT", "length"),
        ("attention op", "length"),
    }
    assert grown["attention op", "length"]["flops_exponent"]["value"] == pytest.approx(2)
    assert grown["CNN", "side"]["flops_exponent"]["value"] == pytest.approx(2, abs=0.1)
    assert found["crossover"]["lengths"] == [32, 64, 128, 256]


def test_a_batch_and_only_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "compared.json"
    assert compare("mlp", "--batch", "8", "--quick", "--json", str(file)) == 0
    out = capsys.readouterr().out
    assert "float32[8, 784]" in out
    assert "Attention" not in out
    assert "Exponents" not in out
    found = json.loads(file.read_text())
    assert found["attention"] == {}
    assert found["scaling"] == []
    assert found["crossover"] is None
    assert found["models"][0]["batch"] == 8


def test_scaling_without_attention(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("mlp", "--quick", "--scaling") == 0
    out = capsys.readouterr().out
    assert "MLP   batch 1 to 16" in out
    assert "attention" not in out.lower()


def test_ones_own_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(
        "import tinytorch as tt\nx = tt.ones(4, 4)\ndef work():\n    return x @ x\ndef idle():\n return 3\n"
    )
    assert compare(f"{tmp_path / 'mine.py'}:work", "mlp", "--quick") == 0
    assert "work" in capsys.readouterr().out
    assert compare(f"{tmp_path / 'mine.py'}:idle", "--quick") == 1
    assert "no op of TinyTorch runs in idle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("resnet",), 1, "'resnet' is no model"),
        (("mlp", "--batch", "0"), 2, "--batch"),
        (("mlp", "--threads", "0"), 2, "--threads"),
        (("mlp", "--json", f"{__file__}/x.json", "--quick"), 1, "x.json"),
    ],
)
def test_bad_input(
    arguments: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(*arguments) == code
    assert said in capsys.readouterr().err

"""`tito roofline`: the roofs in a table and as JSON, kept between calls and measured again on request."""

import json
from pathlib import Path

import pytest

from tinytorch.cli.main import run
from tinytorch.profiling.hardware.roofline import measure_roof
from tinytorch.threads import get_num_threads, set_num_threads


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "cache"))
    before = get_num_threads()
    yield
    set_num_threads(before)


def test_the_roofs_are_shown_kept_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "roof.json"
    assert run(["roofline", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert "Roofs of this machine (float32, 1 thread)" in out
    for word in ("multiply-adds", "L1", "memory", "FLOP/byte", "BLAS multiplies 1024 x 1024 at"):
        assert word in out
    found = json.loads(file.read_text())
    assert found["flops"] > 1e9
    assert found["threads"] == 1
    rates = list(found["bandwidths"].values())
    assert rates == sorted(rates, reverse=True)
    assert found["product"] > 0
    assert measure_roof(1).flops >= found["flops"]
    assert run(["roofline", "--json", str(file)]) == 0
    again = json.loads(file.read_text())
    assert again["flops"] >= found["flops"]
    assert run(["roofline", "--refresh", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["bandwidths"] != found["bandwidths"]


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["roofline", "--threads", "0"]) == 2
    assert "--threads" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert run(["roofline", "--json", str(tmp_path / "file" / "x.json")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err

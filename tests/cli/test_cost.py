"""`tito cost`: predictions for this machine and a catalogue, which to choose, and the same as JSON."""

import json
from pathlib import Path

import pytest

from tinytorch import no_grad
from tinytorch.cli.main import run
from tinytorch.models import load_pretrained
from tinytorch.profiling.context import profile_model
from tinytorch.threads import get_num_threads, set_num_threads


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the calibration is kept for the tests of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("TINYTORCH_DATA", str(cache))
    monkeypatch.setenv("COLUMNS", "200")
    before = get_num_threads()
    yield
    set_num_threads(before)


DEVICE = """
[{name}]
title = "A device"
flops.float32 = {{ value = 1e12, source = "made up", as_of = 2026-01-01 }}
bandwidth = {{ value = 1e11, source = "made up", as_of = 2026-01-01 }}
launch = {{ low = 1e-6, high = 2e-6, source = "made up", as_of = 2026-01-01 }}
memory = {{ value = 1e9, source = "made up", as_of = 2026-01-01 }}
transfer = {{ value = 1e10, source = "made up", as_of = 2026-01-01 }}
price = {{ value = {price}, source = "made up price", as_of = 2026-01-01 }}
"""


def catalogue(folder: Path) -> Path:
    file = folder / "devices.toml"
    file.write_text(DEVICE.format(name="dear", price=36.0) + DEVICE.format(name="cheap", price=3.6))
    return file


def test_this_machine_and_the_catalogue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cost.json"
    assert run(["cost", "mlp", "--batch", "4", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    for word in (
        "this machine",
        "not validated",
        "gpu-a100",
        "median error is",
        "models held out",
        "Choice: ",
    ):
        assert word in out
    found = json.loads(file.read_text())
    assert found["batch"] == 4
    here, *others = found["predictions"]
    assert here["validated"]
    assert here["seconds"]["low"] < here["seconds"]["value"] < here["seconds"]["high"]
    assert not any(one["validated"] for one in others)
    assert all("value" not in one["seconds"] for one in others)
    assert 0 < found["median_error"] < 10


def test_a_catalogue_of_ones_own_and_the_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cost.json"
    devices = ["--devices", str(catalogue(tmp_path)), "--json", str(file)]
    assert run(["cost", "mlp", *devices, "--latency", "1000", "--sources"]) == 0
    out = capsys.readouterr().out
    assert "Choice: cheap: the cheapest of those sure to keep within 1000 ms a pass" in out
    assert "made up price (2026-01-01)" in out
    dear, cheap = json.loads(file.read_text())["predictions"][1:]
    assert dear["cost_per_million"]["high"] == pytest.approx(10 * cheap["cost_per_million"]["high"])
    assert run(["cost", "mlp", *devices, "--budget", "1e-12"]) == 0
    assert "Choice: none: no device can keep within" in capsys.readouterr().out


def test_a_profile_instead_of_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_pretrained("cnn")
    with no_grad():
        profile = profile_model(model, runs=5, memory=False, roof=False)
    profile.to_json(tmp_path / "cnn.json")
    assert run(["cost", str(tmp_path / "cnn.json")]) == 0
    assert "2.29 MFLOP" in capsys.readouterr().out
    assert run(["cost", str(tmp_path / "cnn.json"), "--batch", "2"]) == 1
    assert "leave --batch and --seq out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("resnet",), 1, "'resnet' is no model"),
        (("mlp", "--dtype", "float8"), 1, "--dtype float8: expected one of"),
        (("mlp", "--latency", "0"), 2, "--latency"),
        (("mlp", "--budget", "-1"), 2, "--budget"),
        (("mlp", "--devices", "none.toml"), 1, "none.toml: cannot be read"),
        (("none.json",), 1, "none.json"),
    ],
)
def test_bad_input(
    arguments: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cost", *arguments]) == code
    assert said in capsys.readouterr().err

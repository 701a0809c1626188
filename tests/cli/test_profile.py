"""`tito profile`: reports and files from the command line, and one line for what is wrong."""

import json
import re
from pathlib import Path

import pytest

import tinytorch as tt
from tinytorch.cli.main import run
from tinytorch.errors import ProfilingError
from tinytorch.profiling.profile import Profile

QUICK = ["--runs", "3", "--no-memory"]
OWN = """
import tinytorch as tt
from tinytorch import nn

example_input = tt.ones(2, 5)
model = nn.Linear(5, 3)

def work(x):
    return sum(range(10_000))

def broken(x):
    raise KeyError("mine")

def leaves(x):
    raise SystemExit(3)

def step():
    model.zero_grad()
    (model(example_input) ** 2).sum().backward()

async def later(x):
    return x

def lazy(x):
    yield x
"""


@pytest.fixture(autouse=True)
def threads() -> object:
    before = tt.get_num_threads()
    yield
    tt.set_num_threads(before)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def test_a_model_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", "mlp", "--batch", "4", *QUICK]) == 0
    out = capsys.readouterr().out
    assert out.startswith("mlp: a forward pass takes")
    assert "layers" in out
    assert re.search(r"\d+ kFLOP", out)
    assert all(len(line) <= 100 for line in out.splitlines())


def test_all_files_hold_the_same_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["html", "json", "trace", "speedscope"]
    options = [word for name in names for word in (f"--{name}", str(tmp_path / name))]
    assert run(["profile", "gpt", "--batch", "2", "--seq", "16", "--backward", "--runs", "3", *options]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)
    profile = Profile.load(tmp_path / "json")
    assert (profile.name, profile.mode) == ("gpt", "backward")
    assert profile.configuration["inputs"] == "int64[2, 16]"
    assert profile.memory is not None
    assert profile.memory.activations > 0
    assert "blocks" in (tmp_path / "html").read_text(encoding="utf-8")
    events = json.loads((tmp_path / "trace").read_text())["traceEvents"]
    assert len(events) >= len(profile.timeline)
    assert json.loads((tmp_path / "speedscope").read_text())["profiles"]
    assert run(["profile", "diff", str(tmp_path / "json"), str(tmp_path / "json"), "--fail-over", "5%"]) == 0
    capsys.readouterr()


def test_objects_of_ones_own(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", f"{own}:model", *QUICK]) == 0
    assert "Linear" in capsys.readouterr().out
    assert run(["profile", f"{own}:work", *QUICK]) == 0
    assert "work" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["resnet"], 1, "'resnet' is no model: give mlp, cnn, gpt"),
        (["mlp", "--seq", "8"], 1, "no sequence axis"),
        (["gpt", "--seq", "4000"], 1, "at most 128 positions"),
        (["mlp", "--batch", "0"], 1, "expected 1 or more"),
        (["mlp", "--runs", "0"], 2, "--runs"),
        (["mlp", "--against", "jax"], 2, "--against"),
        (["mlp", "--against", "torch", "--backward"], 2, "--against compares forward passes"),
        (["nowhere.py:model"], 1, "there is no such file"),
    ],
)
def test_what_cannot_be_profiled(
    words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["profile", *words]) == code
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


def test_an_error_of_the_users_function_is_one_line_with_its_place(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["profile", f"{own}:broken", *QUICK]) == 1
    assert capsys.readouterr().err.strip() == "tito: broken: KeyError: 'mine' (own.py, line 12)"
    with pytest.raises(ProfilingError):
        run(["--debug", "profile", f"{own}:broken", *QUICK])
    assert run(["profile", f"{own}:leaves", *QUICK]) == 1
    assert "SystemExit: 3 (own.py, line 15)" in capsys.readouterr().err


def test_a_training_step_of_ones_own(own: Path, tmp_path: Path) -> None:
    out = tmp_path / "step.json"  # the report names only the ops that took most
    assert run(["profile", f"{own}:step", *QUICK, "--json", str(out)]) == 0
    assert "linearweightgrad" in {op.name for op in Profile.load(out).ops}


@pytest.mark.parametrize("name", ["later", "lazy"])
def test_what_returns_before_it_runs_is_refused(
    name: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["profile", f"{own}:{name}", *QUICK]) == 1
    assert "returns before its body runs" in capsys.readouterr().err


def test_files_that_can_be_written_are(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--trace", str(tmp_path / "t.json"), "--json", str(tmp_path / "p.json")]
    assert run(["profile", f"{own}:work", *QUICK, *options]) == 1
    assert Profile.load(tmp_path / "p.json").name == "work"


def test_a_file_that_cannot_be_written_is_said_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(["profile", "mlp", *QUICK, "--html", str(tmp_path / "file" / "x.html")]) == 1
    captured = capsys.readouterr()
    assert "x.html" in captured.err
    assert "cannot be written" in captured.err
    assert captured.out == ""


def test_without_pytorch_its_comparison_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        assert run(["profile", "mlp", "--against", "torch", *QUICK]) == 1
        assert "peers" in capsys.readouterr().err

"""`tito profile diff`: what it says, and the codes it leaves with."""

from pathlib import Path

import pytest

from tests.profiling.profiles import gpt, plain_callable, slower
from tinytorch.cli.main import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Profiles: before, the same again, slower by half in one module, and of something else."""
    made = tmp_path_factory.mktemp("profiles")
    gpt().to_json(made / "before.json")
    gpt(seed=4).to_json(made / "again.json")
    slower(gpt(seed=3), "head", 1.5).to_json(made / "slower.json")
    plain_callable().to_json(made / "other.json")
    (made / "broken.json").write_text("{")
    return made


def diff(folder: Path, after: str, *more: str) -> int:
    return run(["profile", "diff", str(folder / "before.json"), str(folder / after), *more])


def test_it_says_what_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(folder, "slower.json") == 0
    shown = capsys.readouterr().out
    assert "1 slower and 0 faster" in " ".join(shown.split())
    assert shown.isascii()
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize(
    ("after", "limit", "code"),
    [
        ("slower.json", "5%", 1),
        ("slower.json", "5 %", 1),
        ("slower.json", ".05", 1),
        ("slower.json", "0.3", 1),
        ("slower.json", "60%", 0),
        ("slower.json", "400%", 0),
        ("again.json", "5%", 0),
        ("again.json", "0%", 0),
    ],
)
def test_the_gate(
    after: str, limit: str, code: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diff(folder, after, "--fail-over", limit) == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("FAIL: slower by more than" if code else "OK: nothing is slower by more than")
    assert ("head" in last) == bool(code)


def test_modules_below_the_least_share_do_not_fail_it(folder: Path) -> None:
    assert diff(folder, "slower.json", "--fail-over", "5%", "--least", "20%") == 0


@pytest.mark.parametrize("limit", ["5", "1", "-5%", "five", "", "nan", "5%%", "1e-2", "inf%"])
def test_what_is_no_share_is_wrong_usage(
    limit: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diff(folder, "again.json", f"--fail-over={limit}") == 2
    assert "is no share: write it as 5% or 0.05" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("none.json", "cannot be read"),
        ("broken.json", "not a whole profile"),
        ("other.json", "a forward and a callable profile"),
    ],
)
def test_an_error_is_one_line(
    after: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diff(folder, after, "--fail-over", "5%") == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""

"""`tito` as a program: its help, its exit codes, and one line for every error."""

import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from tinytorch import console
from tinytorch.cli import main as main_function
from tinytorch.cli.main import EVERY, run, tito
from tinytorch.errors import DataError

ROOT = Path(__file__).resolve().parent.parent.parent
TITO = [sys.executable, "-c", "from tinytorch.cli import main; main()"]


@pytest.fixture(autouse=True)
def speaking() -> object:
    """Leave the console as it was."""
    yield
    console.set_quiet(False)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A command `data` of our own that raises what is in the list."""
    errors: list[BaseException] = []

    @click.command()
    def command() -> None:
        raise errors[0]

    monkeypatch.setattr("tinytorch.cli.data.command", command)
    return errors


def test_help_names_every_command_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.isascii()
    for name, (_, line) in EVERY.items():
        assert f"  {name}" in shown
        assert line in shown


def test_every_command_is_there() -> None:
    for name, (module, _) in EVERY.items():
        assert isinstance(import_module(module).command, click.Command)
        assert run([name, "--help"]) == 0


def test_help_imports_no_command_and_nothing_slow() -> None:
    program = (
        "import sys\nfrom tinytorch.cli.main import run\nrun(['--help'])\n"
        "slow = {'matplotlib', 'numba', 'rich', 'tinytorch.cli.data', 'tinytorch.cli.train'}\n"
        "slow &= set(sys.modules)\n"
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    name, version = capsys.readouterr().out.split()
    assert name == "tito"
    assert version[0].isdigit()


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nope"]) == 2
    assert "No such command 'nope'" in capsys.readouterr().err
    assert run(["--nope"]) == 2
    assert run(["data", "get"]) == 2
    assert run([]) == 2


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    run([])
    assert "journey" in capsys.readouterr().err


@pytest.mark.parametrize("error", [DataError("no such\n  set"), OSError(28, "No space left on device")])
def test_an_error_is_one_line(
    failing: list[BaseException], error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(error)
    assert run(["data"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"tito: {' '.join(str(error).split())}\n"
    assert run(["--quiet", "data"]) == 1
    assert capsys.readouterr().err.startswith("tito: ")


def test_debug_lets_the_traceback_through(failing: list[BaseException]) -> None:
    failing.append(DataError("no such set"))
    with pytest.raises(DataError, match="no such set"):
        run(["--debug", "data"])


def test_a_mistake_of_ours_keeps_its_traceback(failing: list[BaseException]) -> None:
    failing.append(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run(["data"])


def test_interruption(failing: list[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    failing.append(KeyboardInterrupt())
    assert run(["data"]) == 130
    assert capsys.readouterr().err.strip() == "tito: interrupted"


def test_main_leaves_with_the_code() -> None:
    with pytest.raises(SystemExit) as left:
        main_function(["nope"])
    assert left.value.code == 2


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_in_a_running_program() -> None:
    program = (
        "import os, signal, time, click, tinytorch.cli.data as d\nfrom tinytorch.cli import main\n"
        "@click.command()\ndef command():\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(60)\n"
        "d.command = command\nmain(['data'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr.strip() == "tito: interrupted"


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX pipes")
def test_a_reader_that_goes_away() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*TITO, "data", "list"], stdout=write, stderr=subprocess.PIPE, cwd=ROOT, check=False
    )
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == b""


def test_the_group_is_a_click_group() -> None:
    assert tito.list_commands(click.Context(tito)) == list(EVERY)


def test_in_a_workspace_measurements_say_whose_code_they_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["timeit", "1 + 1", "--runs", "3"]) == 0
    assert "on your code" not in capsys.readouterr().err
    (tmp_path / "tito.toml").write_text("version = 1\n", encoding="utf-8")
    assert run(["timeit", "1 + 1", "--runs", "3"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("tito: this runs the package; on your code: tito run -m tinytorch timeit ...\n")
    monkeypatch.setitem(sys.modules, "tito_graft", sys)
    assert run(["timeit", "1 + 1", "--runs", "3"]) == 0
    assert "on your code" not in capsys.readouterr().err

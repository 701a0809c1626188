"""The console as programs and people meet it: pipes, dumb or narrow terminals, encodings without letters."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch import console

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import time
from tinytorch import console
rows = [["attn.q", "1.2 ms", 0.25], ["mlp", "33.1 ms", 0.5]]
console.table("Layers \\u2014 \\u00b5s", ["module", "time", "share"], rows)
with console.progress(40, "train", "steps") as bar:
    for i in range(40):
        bar.update(i + 1, loss=1 / (i + 1))
        if i in (10, 30):
            time.sleep(0.12)
    console.notice("half \\u2192 way")
console.say(console.spark([1.0, 2.0, 3.0]))
"""


@pytest.fixture(autouse=True)
def speaking() -> object:
    """Leave the console as it was."""
    yield
    console.set_quiet(False)


def in_terminal(program: str, **environment: str) -> str:
    """What a program shows on a terminal of its own."""
    pty = pytest.importorskip("pty", reason="needs POSIX terminals")
    ours, theirs = pty.openpty()
    env = (
        {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        | {"TERM": "xterm", "COLUMNS": "80"}
        | environment
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=ROOT
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how Linux says that the other end was closed
                break
            if not chunk:
                break
            shown += chunk
    os.close(ours)
    assert process.returncode == 0, shown.decode("utf-8", "replace")
    return shown.decode(environment["PYTHONIOENCODING"])


def test_a_good_terminal_gets_lines_and_bars() -> None:
    shown = in_terminal(PROGRAM, PYTHONIOENCODING="utf-8")
    assert "\u2500" in shown
    assert "\u2501" in shown
    assert "half \u2192 way" in shown
    assert "\u2581" in shown
    assert "40/40 steps" in shown
    assert shown.count("\r") > shown.count("\n")


@pytest.mark.parametrize("columns", ["60", "30", "20"])
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
def test_a_poor_terminal_gets_ascii(encoding: str, columns: str) -> None:
    shown = in_terminal(PROGRAM, PYTHONIOENCODING=encoding, COLUMNS=columns)
    assert shown.isascii()
    assert "Layers - us" in shown
    assert "half -> way" in shown
    assert "?" not in shown
    assert ("###" in shown) == (columns == "60")
    assert all(
        len(part) <= int(columns) for part in shown.replace("\x1b[1m", "").replace("\x1b[0m", "").split()
    )


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "\u00e9t\u00e9 \u65e5"), ("cp1252", "\u00e9t\u00e9 ?"), ("ascii", "?t? ?"), (None, "?t? ?")],
)
def test_letters_that_a_pipe_can_show_stay(encoding: str | None, shown: str) -> None:
    assert console.plain("\u00e9t\u00e9 \u65e5 \u2192", encoding or "no-such-encoding") == f"{shown} ->"


def test_a_dumb_terminal_gets_plain_lines() -> None:
    shown = in_terminal(PROGRAM, PYTHONIOENCODING="utf-8", TERM="dumb")
    assert shown.isascii()
    assert "\x1b" not in shown
    assert "\r" not in shown.replace("\r\n", "\n")
    assert shown.count("train") == 1


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_errors_are_folded_between_words_on_a_terminal_only(terminal: str) -> None:
    words = [f"exercise{i}.forward," for i in range(9)] + ["a" * 50]
    program = f"from tinytorch import console; console.get().complain({' '.join(words)!r})"
    lines = in_terminal(program, PYTHONIOENCODING="utf-8", TERM=terminal, COLUMNS="40").splitlines()
    assert [word for line in lines for word in line.split()] == words
    assert len(lines) == 6
    assert max(map(len, lines[:-1])) <= 40
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stderr == " ".join(words) + "\n"


def test_a_pipe_gets_results_on_one_stream_and_remarks_on_the_other() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.isascii()
    assert run.stdout.splitlines()[0] == "Layers - us"
    assert run.stdout.splitlines()[-1] == "_+@"
    assert run.stderr.splitlines() == ["half -> way", run.stderr.splitlines()[1]]
    assert run.stderr.splitlines()[1].startswith("train  40/40 steps  in 0:0")
    assert run.stderr.splitlines()[1].endswith("loss 0.025")


def test_quiet_silences_remarks_but_not_results(capsys: pytest.CaptureFixture[str]) -> None:
    console.set_quiet(True)
    console.notice("a remark")
    with console.progress(2, "working") as bar:
        bar.update(2)
    console.say("a result")
    console.get().complain("an error")
    shown = capsys.readouterr()
    assert shown.out == "a result\n"
    assert shown.err == "an error\n"


def test_table_sets_figures_right_and_folds_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rows = [["conv", "1,234", 0.5, "the first convolution of the model"], ["linear", "7", 12.25, "[bold]x"]]
    console.table("Sizes", ["layer", "weights", "ms", "remark"], rows, note="A note.")
    assert capsys.readouterr().out.splitlines() == [
        "Sizes",
        "layer   weights     ms  remark",
        "-" * 40,
        "conv      1,234    0.5  the first",
        "                        convolution of",
        "                        the model",
        "linear        7  12.25  [bold]x",
        "A note.",
    ]


def test_a_table_too_wide_becomes_a_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    console.table("T", ["name", "count"], [["convolutional", "1,000,000,000"]])
    assert capsys.readouterr().out.splitlines() == ["T", "", "name   convolutional", "count  1,000,000,000"]


@given(st.lists(st.lists(st.text(max_size=30), min_size=2, max_size=2), max_size=4), st.text(max_size=20))
def test_no_table_is_too_odd(rows: list[list[str]], title: str) -> None:
    console.table(title, ["a", "b"], rows)


def test_line_of_progress() -> None:
    bar = console.progress(200, "train", "img")
    begun = time.monotonic()
    bar.update(0)
    bar.update(50, loss=0.12345, split="val")
    line = bar.line(79, "#.", begun + 10.001)
    assert line.startswith("train  ###")
    assert "  50/200 img  5 img/s  0:" in line or "  50/200 img  5.0 img/s  0:" in line
    assert line.endswith(" left  loss 0.1235  split val")
    assert bar.line(30, "#.", begun + 10.0).startswith("train  50/200 img")
    assert len(bar.line(10, "#.", begun + 10.0)) == 10
    bar.update(200)
    assert "in 1:15" in bar.line(79, "#.", begun + 75.5)


def test_progress_of_unknown_length_and_of_bytes() -> None:
    bar = console.progress(None, "get", "B")
    bar.update(3 * 2**20)
    assert bar.line(79, "#.", 0.0) == "get  3.0 MiB"
    bar.total = 2**22
    assert "#####" in bar.line(79, "#.", 0.0)
    assert "3.0 MiB of 4.0 MiB" in bar.line(79, "#.", 0.0)


def test_an_empty_total_is_no_crash(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress(0, "nothing") as bar:
        bar.update(0)
    assert "nothing" in capsys.readouterr().err


def test_progress_ends_its_line_when_work_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with console.progress(9, "train") as bar:
            bar.update(4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert capsys.readouterr().err == "train  4/9 it\n"
    assert console.get().bars == []


def test_spark() -> None:
    assert console.spark([0, 1, 2, 3, 4, 5, 6, 7]) == "_.-=+*#@"
    assert console.spark([5.0, 5.0]) == "__"
    assert console.spark([0.0, float("nan"), 7.0, float("inf")]) == "_x@x"
    assert console.spark([float("nan")]) == "x"
    assert console.spark([]) == ""
    assert console.spark([0.0] * 500 + [1.0] * 500, columns=10) == "_____@@@@@"


@given(st.lists(st.floats(), max_size=300), st.integers(1, 50))
def test_spark_never_exceeds_its_columns(values: list[float], columns: int) -> None:
    assert len(console.spark(values, columns)) == min(len(values), columns)


def test_importing_the_console_imports_nothing_heavy() -> None:
    program = (
        "import sys, importlib.util as u\n"
        f"spec = u.spec_from_file_location('console', {str(ROOT / 'tinytorch' / 'console.py')!r})\n"
        "module = u.module_from_spec(spec); sys.modules['console'] = module\n"
        "spec.loader.exec_module(module)\n"
        "heavy = {'numpy', 'rich', 'matplotlib', 'scipy', 'numba', 'click'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

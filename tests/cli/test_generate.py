"""`tito generate` and `tito chat`: what they say, the options that arrive, and one line for every error."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.caching.small import lively
from tests.models import gguf_files
from tests.test_console import in_terminal
from tinytorch import console
from tinytorch.caching import Decoder
from tinytorch.cli import speaking
from tinytorch.cli.main import run
from tinytorch.models import GPT, MLP, save_weights


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many threads were asked for; the process keeps those it has."""
    asked: list[int] = []
    monkeypatch.setattr("tinytorch.threads.set_num_threads", asked.append)
    monkeypatch.setenv("COLUMNS", "200")
    yield asked
    console.set_quiet(False)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> list[Decoder]:
    """Decoders that run op by op, as they are made."""
    made: list[Decoder] = []

    class Eager(Decoder):
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings, compiled=False)
            made.append(self)

    monkeypatch.setattr("tinytorch.caching.decoder.Decoder", Eager)
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT, another one, an MLP, and two Llamas in files, the second without a chat template."""
    folder = tmp_path_factory.mktemp("models")
    for seed, name in ((0, "gpt"), (1, "draft")):
        gpt = GPT(vocab_size=256, context=64, width=16, layers=1, heads=2)
        save_weights(lively(gpt, seed), folder / f"{name}.safetensors")
    save_weights(MLP((4, 3)), folder / "mlp.safetensors")
    gguf_files.tiny(folder / "llama.gguf", context=128, layers=1)
    metadata = gguf_files.llama_metadata(context=128, layers=1)
    del metadata["tokenizer.chat_template"]
    tensors = gguf_files.llama_tensors(gguf_files.llama_weights(context=128, layers=1))
    (folder / "plain.gguf").write_bytes(gguf_files.write(metadata, tensors))
    (folder / "broken.gguf").write_bytes(b"GGUF and nothing else")
    return folder


def typed(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    """Have these bytes come on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What went wrong, which is one line, and all that was said."""
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("tito: ")
    return shown.err


# ---------------------------------------------------------------- tito generate


def test_the_model_that_ships_goes_on_with_a_text(
    capsys: pytest.CaptureFixture[str], threads: list[int]
) -> None:
    assert run(["generate", "--model", "gpt", "--max-tokens", "12", "def "]) == 0
    shown = capsys.readouterr()
    assert len(shown.out) == 13
    assert shown.out.endswith("\n")
    assert shown.out[:-1].isprintable()
    line = shown.err.splitlines()[-1]
    assert line.startswith("[12 tokens; ")
    assert " tokens/s; prompt of 4 in " in line
    assert line.endswith("KiB]")
    assert threads == [1]


@pytest.mark.usefixtures("eager")
def test_what_is_said_goes_to_standard_output_and_figures_beside_it(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", "--model", str(files / "gpt.safetensors"), "ab"]
    assert run(["--quiet", *words, "--max-tokens", "9"]) == 0
    quiet = capsys.readouterr()
    assert run([*words, "--max-tokens", "9"]) == 0
    loud = capsys.readouterr()
    assert quiet.out == loud.out != "\n"
    assert quiet.err == ""
    assert "[9 tokens" in loud.err
    assert run(["--quiet", *words, "--max-tokens", "0"]) == 0
    assert capsys.readouterr().out == "\n"


def test_options_arrive(
    files: Path, capsys: pytest.CaptureFixture[str], eager: list[Decoder], threads: list[int]
) -> None:
    words = ["--quiet", "generate", "--model", str(files / "gpt.safetensors"), "ab", "--max-tokens", "20"]
    plain = said(words, capsys)
    assert said([*words, "--temperature", "3", "--seed", "1"], capsys) == said(
        [*words, "--temperature", "3", "--seed", "1"], capsys
    )
    assert said([*words, "--temperature", "3", "--seed", "2"], capsys) != plain
    assert said([*words, "--temperature", "3", "--top-k", "1"], capsys) == plain
    assert said([*words, "--temperature", "3", "--top-p", "1e-9"], capsys) == plain
    assert len(said([*words, "--context", "10"], capsys)) < len(plain)
    said([*words, "--cache", "int8", "--context", "30", "--threads", "2"], capsys)
    assert (str(eager[-1].cache.dtype), eager[-1].cache.capacity) == ("int8", 30)
    assert (str(eager[0].cache.dtype), eager[0].cache.capacity) == ("float16", 64)
    assert threads[-1] == 2
    stop = plain[3]
    assert said([*words, "--stop", "never", "--stop", stop], capsys) == plain[: plain.index(stop)] + "\n"


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(words) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("eager")
def test_a_draft_changes_nothing_but_is_told_of(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "generate",
        "--model",
        str(files / "gpt.safetensors"),
        "ab",
        "--max-tokens",
        "20",
        "--cache",
        "float32",
    ]
    plain = said(words, capsys)
    assert run([*words, "--draft", str(files / "draft.safetensors")]) == 0
    shown = capsys.readouterr()
    assert shown.out == plain
    assert "% of the draft's tokens stayed]" in shown.err


@pytest.mark.usefixtures("eager")
def test_a_prompt_may_come_on_standard_input(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["generate", "--model", str(files / "gpt.safetensors"), "--max-tokens", "5"]
    typed(monkeypatch, b"a\xff\n")
    assert run(words) == 0
    assert "prompt of 3 in" in capsys.readouterr().err


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "nothing", "a"], "nothing: there is no such file; by name there are: gpt"),
        (["--model", "mlp.safetensors", "a"], "no language model of bytes: it holds MLP"),
        (["--model", "broken.gguf", "a"], "broken.gguf"),
        (["--model", "absent.gguf", "a"], "absent.gguf"),
        (["--model", "absent.safetensors", "a"], "absent.safetensors"),
        (["--model", "gpt.safetensors", ""], "each needs at least one"),
        (["--model", "gpt.safetensors", "x" * 65], "a prompt of 65 tokens, and the cache holds 64"),
        (["--model", "gpt.safetensors", "--context", "3", "abcd"], "a prompt of 4 tokens"),
        (["--model", "gpt.safetensors", "--temperature", "-1", "a"], "temperature -1"),
        (["--model", "gpt.safetensors", "--temperature", "nan", "a"], "temperature nan"),
        (["--model", "gpt.safetensors", "--top-k", "0", "a"], "top_k 0"),
        (["--model", "gpt.safetensors", "--top-p", "2", "a"], "top_p 2"),
        (["--model", "gpt.safetensors", "--stop", "", "a"], "none empty"),
        (["--model", "gpt.safetensors", "--draft", "llama.gguf", "a"], "vocabularies of 256 and 264 ids"),
    ],
)
def test_an_error_is_one_line(
    files: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(files / word) if "." in word and not word.startswith("-") else word for word in words]
    assert run(["generate", *words]) == 1
    assert message in one_line(capsys)


@pytest.mark.parametrize(
    "words",
    [
        ["--max-tokens", "-1"],
        ["--cache", "float64"],
        ["--seed", "-1"],
        ["--context", "0"],
        ["--threads", "0"],
    ],
)
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "--model", "gpt", "a", *words]) == 2
    assert words[0] in capsys.readouterr().err


@pytest.mark.usefixtures("eager")
def test_ctrl_c_ends_it(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(console, "stream", interrupted)
    assert run(["generate", "--model", str(files / "gpt.safetensors"), "a"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "tito: interrupted"


# ---------------------------------------------------------------- tito chat


@pytest.mark.usefixtures("eager")
def test_a_chat_goes_on_until_its_end(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["chat", "--model", str(files / "llama.gguf"), "--max-tokens", "4"]
    typed(monkeypatch, b"low\n\nlow\n")
    assert run(words) == 0
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert "/reset forgets what was said, /quit or Ctrl-D ends, Ctrl-C stops an answer." in lines[0]
    first, second = (line for line in lines if line.startswith("["))
    assert " of it new" not in first
    assert " of it new" in second
    assert shown.out.count("\n") >= 2
    typed(monkeypatch, b"low\n/reset\nlow\n/quit\nlow\n")
    assert run(words) == 0
    again = capsys.readouterr()
    answers = again.out
    half = len(answers) // 2
    assert answers[:half] == answers[half:], "after a reset the same is answered to the same"
    assert again.err.splitlines().count("forgotten") == 1
    assert sum(line.startswith("[") for line in again.err.splitlines()) == 2


@pytest.mark.usefixtures("eager")
def test_a_chat_may_begin_with_what_the_model_is_told(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    for system in ([], ["--system", "the low"]):
        typed(monkeypatch, b"low\n")
        assert run(["chat", "--model", str(files / "llama.gguf"), "--max-tokens", "2", *system]) == 0
        line = capsys.readouterr().err.splitlines()[-1]
        sizes.append(int(line.split("prompt of ")[1].split()[0]))
    assert sizes[1] > sizes[0]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("gpt", "gpt: has no chat template; `tito generate` goes on with a text"),
        ("gpt.safetensors", "has no chat template; `tito generate` goes on with a text"),
        ("plain.gguf", "has no chat template; `tito generate` goes on with a text"),
        ("nothing", "there is no such file"),
    ],
)
def test_a_chat_without_a_template_is_refused_before_anything_is_asked(
    files: Path,
    model: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed(monkeypatch, b"low\n")
    assert run(["chat", "--model", str(files / model) if "." in model else model]) == 1
    assert message in one_line(capsys)
    assert sys.stdin.buffer.read() == b"low\n"


@pytest.mark.usefixtures("eager")
def test_a_message_that_is_too_long_does_not_end_the_chat(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, b"x" * 500 + b"\nlow\n")
    assert run(["chat", "--model", str(files / "llama.gguf"), "--max-tokens", "2"]) == 0
    shown = capsys.readouterr()
    assert "a prompt of 519 tokens, and the cache holds 128" in shown.err
    assert shown.err.splitlines()[-1].startswith("[")


@pytest.mark.usefixtures("eager")
def test_ctrl_c_ends_an_answer_and_not_the_chat(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = console.stream, [0]

    def interrupted(text: str) -> None:
        real(text)
        calls[0] += 1
        if calls[0] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(console, "stream", interrupted)
    typed(monkeypatch, b"low\nlow\n")
    assert run(["chat", "--model", str(files / "llama.gguf"), "--max-tokens", "9"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("(stopped)") == 1
    assert sum(line.startswith("[") for line in lines) == 2


def test_figures_are_left_out_where_there_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    from tinytorch.caching import Generation

    decoder = Decoder(GPT(vocab_size=8, context=8, width=4, layers=1, heads=1), compiled=False, page=8)
    speaking.say_figures(Generation([1, 2, 3], prefill_seconds=0.5), decoder)
    speaking.say_figures(
        Generation([1, 2, 3], [4, 5, 6], decode_seconds=0.5, reused=2, accepted=0.256), decoder
    )
    assert capsys.readouterr().err.splitlines() == [
        "[0 tokens; prompt of 3 in 500 ms; cache 0 B]",
        "[3 tokens; 4.0 tokens/s; prompt of 3 in 0 ms, 1 of it new; cache 0 B; "
        "26 % of the draft's tokens stayed]",
    ]


# ---------------------------------------------------------------- pieces on a console

PIECES = """
from tinytorch import console
for piece in ("a \\u2192 b", ", ", "\\u00e9\\u4e2d", "\\u2026\\n"):
    console.stream(piece)
"""


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "a \u2192 b, \u00e9\u4e2d\u2026"),
        ("latin-1", "a -> b, \u00e9?..."),
        ("ascii", "a -> b, ??..."),
    ],
)
def test_pieces_are_plain_where_a_terminal_needs_it(encoding: str, expected: str) -> None:
    assert in_terminal(PIECES, PYTHONIOENCODING=encoding).splitlines() == [expected]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "a \u2192 b, \u00e9\u4e2d\u2026"),
        ("latin-1", "a -> b, \u00e9?..."),
        ("ascii", "a -> b, ??..."),
    ],
)
def test_a_pipe_gets_the_text_of_a_model_as_it_is(encoding: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PIECES], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}
    )
    assert done.stdout.decode(encoding).splitlines() == [expected]


def test_each_piece_is_there_at_once_and_goes_on_where_the_last_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", newline=""))
    for piece, so_far in (("one", b"one"), (" \u00d7 two", b"one x two"), ("\u4e2d", b"one x two?")):
        console.stream(piece)
        assert raw.getvalue() == so_far

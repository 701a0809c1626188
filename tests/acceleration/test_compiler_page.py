"""docs/compiler.md: its listings are what its snippets print today, and no pass is missing from it."""

from __future__ import annotations

import difflib
import subprocess
from pathlib import Path

import pytest

from tinytorch.acceleration import cache
from tinytorch.acceleration.passes.pipeline import PASSES
from tools.listings import PAIR, main, rewritten

pytest.importorskip("llvmlite")
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "compiler.md"
WORDS = (1000, 2000)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "programs"))


def test_every_listing_is_what_its_snippet_prints() -> None:
    text = PAGE.read_text(encoding="utf-8")
    now = rewritten(text, PAGE.name)
    changed = difflib.unified_diff(
        text.split("\n"), now.split("\n"), "the page", "printed today", lineterm="", n=1
    )
    assert now == text, "python tools/listings.py docs/compiler.md writes the page anew:\n" + "\n".join(
        changed
    )


def test_all_that_is_printed_is_shown_and_no_listing_stands_alone() -> None:
    text = PAGE.read_text(encoding="utf-8")
    pairs = list(PAIR.finditer(text))
    assert len(pairs) >= 12
    for one in pairs:
        assert ("print(" in one[1]) == bool(one[2]), one[1]
    drawing = text.index("```text")
    assert text.count("```text") == sum(one[2] is not None for one in pairs) + 1  # and the drawing at the top
    assert drawing < pairs[0].start()


def test_every_pass_is_described() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip(" `") for line in text.splitlines() if line.startswith("| `")]
    assert sorted(set(rows)) == sorted({one.__name__ for one in PASSES})
    order = list(dict.fromkeys(one.__name__ for one in PASSES))
    assert rows == order


def test_its_length() -> None:
    prose = PAIR.sub("", PAGE.read_text(encoding="utf-8"))
    assert WORDS[0] <= len(prose.split()) <= WORDS[1]


# ---------------------------------------------------------------- the tool


def block(language: str, *lines: str) -> str:
    return "\n".join([f"```{language}", *lines, "```", ""])


def test_outputs_are_written_below_their_snippets_and_nothing_else_changes() -> None:
    text = "\n".join(
        [
            "# Page",
            block("text", "a drawing"),
            block("python", "x = 2", "print('shown'); x += 1"),
            block("text", "old", "and more"),
            block("python", "print('not shown')"),
            "Words.",
            "",
            block("text", "another drawing"),
            block("python", "print(x)", "print('$1 \\\\1')"),
            block("text"),
        ]
    )
    want = text.replace("old\nand more\n", "shown\n").replace("```text\n```", "```text\n3\n$1 \\1\n```")
    assert rewritten(text) == want
    assert rewritten(want) == want


def test_a_snippet_that_fails_is_an_error_at_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    text = "# Page\n\n" + block("python", "x = 1", "x.y")
    with pytest.raises(subprocess.CalledProcessError):
        rewritten(text, "page.md")
    assert 'File "page.md", line 5' in capfd.readouterr().err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(block("python", "print(1 + 1)") + "\n" + block("text", "3"), encoding="utf-8")
    main([str(page)])
    main([str(page)])
    assert capsys.readouterr().out == f"{page}: changed\n{page}: as it was\n"
    assert page.read_text(encoding="utf-8") == block("python", "print(1 + 1)") + "\n" + block("text", "2")

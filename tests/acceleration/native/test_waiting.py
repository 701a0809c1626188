"""Who waits for a compilation is told of it; who need not wait is not."""

from __future__ import annotations

import functools
import re
import time

import pytest

import tinytorch as tt
from tinytorch.acceleration.native import program
from tinytorch.acceleration.native.waiting import told


def test_what_takes_long_is_told_while_it_lasts_and_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    seen = ""
    with told("working", "worked", 0.01):
        while "working ...\n" not in seen:
            time.sleep(0.001)
            seen += capsys.readouterr().err
        assert "worked" not in seen
    assert re.fullmatch(r"worked in \d+\.\d s\n", capsys.readouterr().err)


def test_what_is_over_soon_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with told("working", "worked", 100.0):
        pass
    assert capsys.readouterr().err == ""


def test_an_error_ends_it_without_a_word_of_success(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        with told("working", "worked", 0.0):
            while "working" not in capsys.readouterr().err:
                time.sleep(0.001)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "worked" not in capsys.readouterr().err


def test_compiling_says_what_it_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "told", functools.partial(told, patience=0.0))
    fast = tt.compile(lambda x: (x * 3.25).exp())
    fast(tt.ones(5))
    assert capsys.readouterr().err.startswith("compile: 1 kernel ...\ncompile: 1 kernel made in ")
    fast(tt.ones(5))
    assert capsys.readouterr().err == ""

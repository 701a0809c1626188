"""The table of counters: ours are equal to the closed formulas, and missing counters are told."""

from __future__ import annotations

import pytest

from benchmarks import counters

every = pytest.mark.parametrize("name", counters.CASES)


@every
def test_ours_equal_the_formula(name: str) -> None:
    case = counters.CASES[name]
    found = counters.count("TinyTorch, on the PyTorch module", case)
    assert found == case.flops
    assert counters.count("TinyTorch, the same layer", case) == (case.flops if case.counterpart else None)


def test_the_verdict() -> None:
    cases = (
        (100, "equal"),
        (104, "near"),
        (96, "near"),
        (0, "wrong: 0"),
        (250, "wrong: 2.50x"),
        (None, "not counted"),
    )
    assert [counters.verdict(found, 100) for found, _ in cases] == [said for _, said in cases]


def test_a_case_by_name(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(counters.COUNTERS, "Nobody", ("no-such-package", lambda case: 1))
    assert counters.main(["depthwise-backward"]) == 0
    out = capsys.readouterr().out
    assert "5,419,008" in out
    assert "FlopCounterMode" in out
    assert "Not installed, so not run: " in out
    assert "Nobody." in out


def test_a_name_that_is_no_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert counters.main(["attention-eval", "nothing"]) == 2
    assert "no case nothing; there are: attention-eval" in capsys.readouterr().err

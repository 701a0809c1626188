"""Comparisons: order, verdicts on times that are known, code and functions, here and in fresh processes."""

from __future__ import annotations

import functools
import gc
import importlib.machinery
import json
import math
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tinytorch.errors import ProfilingError
from tinytorch.models import MLP
from tinytorch.profiling.significance import paired_ratio
from tinytorch.profiling.statistics import Estimate, median
from tinytorch.profiling.timing import arms as arms_module
from tinytorch.profiling.timing.arms import (
    MAIN,
    arm_of,
    arms_of,
    call_loop,
    code_loop,
    reference,
    resolved,
    short,
)
from tinytorch.profiling.timing.compare import compare, compared, named, put_together, shared
from tinytorch.profiling.timing.comparison import (
    Comparison,
    Verdict,
    alike_inside,
    factor,
    inverse,
    judged,
    median_of,
    spread_of,
)
from tinytorch.profiling.timing.interleave import Readings, equal_inner, interleaved, schedule
from tinytorch.profiling.timing.processes import measured
from tinytorch.profiling.timing.stats import COLUMNS
from tinytorch.threads import get_num_threads, set_num_threads

ROOT = Path(__file__).parents[3]


def little() -> int:
    return sum(range(10))


def much() -> int:
    return sum(range(3000))


def failing() -> None:
    raise LookupError("mine")


def leaving() -> None:
    import os

    os._exit(7)


class Holder:
    @staticmethod
    def inside() -> int:
        return sum(range(10))

    def method(self) -> int:
        return 1


def readings(*arms: Sequence[float], inner: int = 1) -> Readings:
    return Readings(tuple(tuple(arm) for arm in arms), (0.001,) * len(arms), (inner,) * len(arms))


def noisy(seconds: float, n: int, seed: int, size: float = 0.01) -> list[float]:
    return (seconds * np.exp(size * np.random.default_rng(seed).standard_normal(n))).tolist()


# ---------------------------------------------------------------- verdicts on times that are known


def test_verdicts_in_words() -> None:
    found = judged("abc", [readings(noisy(1.0, 60, 1), noisy(0.7, 60, 2), noisy(1.3, 60, 3))])
    assert [(v.name, v.versus, v.word) for v in found] == [("b", "a", "faster"), ("c", "a", "slower")]
    assert found[0].ratio.value == pytest.approx(1 / 0.7, rel=0.01)
    assert str(found[0]).startswith("faster by 1.4")
    assert str(found[1]).startswith("slower by 1.3")
    same = judged("ab", [readings(noisy(1.0, 60, 4), noisy(1.0, 60, 5))])[0]
    assert same.word == "no difference shown"
    assert str(same).startswith("no difference shown: ")


@pytest.mark.parametrize(
    ("ratio", "p", "text"),
    [
        (Estimate(1.43, 1.39, 1.47), 0.001, "faster by 1.43x [1.39, 1.47]"),
        (Estimate(0.5, 0.4, 0.625), 0.001, "slower by 2.00x [1.60, 2.50]"),
        (Estimate(1.001, 0.998, 1.004), 0.4, "no difference shown: 1.001x [0.998, 1.004]"),
        (Estimate(1.2, None, None), 1.0, "no difference shown: 1.20x"),
        (Estimate(3.0, 3.0, 3.0), 0.0, "faster by 3.00x [3.00, 3.00]"),
        (Estimate(12.0, 11.99, 12.01), 0.0, "faster by 12.00x [11.99, 12.01]"),
    ],
)
def test_what_a_verdict_says(ratio: Estimate, p: float, text: str) -> None:
    assert str(Verdict("b", "a", ratio, p, 0.05)) == text


def test_a_p_value_at_its_level_shows_nothing() -> None:
    assert Verdict("b", "a", Estimate(1.1, 1.0, 1.2), 0.05, 0.05).word == "no difference shown"


def test_several_arms_are_judged_by_holm() -> None:
    arms = [noisy(1.0 + 0.003 * i, 60, i) for i in range(4)]
    found = judged("abcd", [readings(*arms)])
    p = [paired_ratio(arms[0], arm).p_value for arm in arms[1:]]
    assert [v.p_value for v in found] == p
    assert min(v.level for v in found) == pytest.approx(0.05 / 3)
    for v, arm in zip(found, arms[1:], strict=True):
        assert v.ratio == paired_ratio(arms[0], arm).estimate(1 - v.level)
        assert v.ratio.low is not None
        assert v.ratio.high is not None
        assert (v.word == "no difference shown") == (v.ratio.low <= 1 <= v.ratio.high)


@given(st.floats(0.01, 100), st.floats(1.0, 1.5))
def test_inverse_and_factor(value: float, spread: float) -> None:
    ratio = Estimate(value, value / spread, value * spread)
    assert inverse(inverse(ratio)).low == pytest.approx(ratio.low)
    assert factor(ratio).count("x") == 1
    assert inverse(Estimate(2.0, None, 4.0)) == Estimate(0.5, 0.25, None)


# ---------------------------------------------------------------- processes


def test_each_process_counts_as_one_sample() -> None:
    logs = [0.30, 0.34, 0.27, 0.31, 0.38]
    processes = [
        readings(noisy(1.0, 40, i), [s / math.exp(log) for s in noisy(1.0, 40, i)])
        for i, log in enumerate(logs)
    ]
    verdict = judged("ab", processes)[0]
    expected = stats.ttest_1samp(logs, 0)
    assert verdict.p_value == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert (verdict.ratio.low, verdict.ratio.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_layout_that_differs_by_process_is_no_difference() -> None:
    rng = np.random.default_rng(3)
    claimed = []
    for trial in range(300):
        layouts = np.exp(0.03 * rng.standard_normal(5)).tolist()
        processes = [
            readings(noisy(seconds, 20, 10 * trial + i), noisy(1.0, 20, 10 * trial + 5 + i))
            for i, seconds in enumerate(layouts)
        ]
        claimed.append(judged("ab", processes)[0].word != "no difference shown")
    assert np.mean(claimed) <= 0.08
    alone = judged("ab", [readings(noisy(1.03, 60, 1), noisy(1.0, 60, 2))])[0]
    assert alone.word == "faster"  # what one process would have said


def test_the_median_over_processes() -> None:
    medians = [1.0, 1.1, 0.9, 1.2]
    found = median_of([[m * 0.9, m, m * 1.1] for m in medians])
    logs = np.log(medians)
    half = stats.t.ppf(0.975, 3) * stats.sem(logs)
    assert found.value == pytest.approx(math.exp(logs.mean()))
    assert found.low == pytest.approx(math.exp(logs.mean() - half))
    assert found.high == pytest.approx(math.exp(logs.mean() + half))
    one = noisy(1.0, 50, 1)
    assert median_of([one]) == median(one)


def test_the_spread_between_and_within() -> None:
    apart = spread_of([noisy(m, 400, i, size=0.02) for i, m in enumerate((1.0, 1.2, 1.4))])
    assert apart.between == pytest.approx(0.2 / 1.2, rel=0.05)
    assert apart.within == pytest.approx(0.02, rel=0.15)
    assert apart.chance == pytest.approx(0.02 * 1.253 / math.sqrt(400), rel=0.35)
    assert (apart.inside, apart.pairs) == (0, 6)
    one = noisy(1.0, 50, 1)
    assert spread_of([one, one]).inside == 2


def test_medians_of_processes_that_are_alike_fall_inside_each_others_intervals() -> None:
    rng = np.random.default_rng(5)
    found = [spread_of(np.exp(0.05 * rng.standard_normal((5, 60))).tolist()) for _ in range(200)]
    share = sum(s.inside for s in found) / sum(s.pairs for s in found)
    assert found[0].expected == alike_inside(60) == pytest.approx(share, abs=0.02)
    assert 0.83 < share < 0.95  # P(|Z| < 1.96 / sqrt(2)) or more, as ranks are whole numbers
    assert np.mean([s.between for s in found]) == pytest.approx(np.mean([s.chance for s in found]), rel=0.3)


def test_spread_of_a_run_each() -> None:
    found = spread_of([[1.0], [1.5]])
    assert math.isnan(found.chance)
    assert found.inside == 2  # an interval without ends holds anything
    assert found.within == 0


# ---------------------------------------------------------------- in turns


@given(st.integers(1, 5), st.integers(1, 30), st.integers(0, 1000))
def test_each_round_has_every_arm_once(arms: int, rounds: int, seed: int) -> None:
    order = schedule(arms, rounds, seed)
    assert order.shape == (rounds, arms)
    assert all(sorted(row) == list(range(arms)) for row in order.tolist())
    assert np.array_equal(order, schedule(arms, rounds, seed))


def test_every_order_is_equally_likely() -> None:
    order = schedule(3, 6000, 1)
    _, counts = np.unique(order, axis=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3


def test_arms_run_in_the_order_of_the_schedule() -> None:
    ran: list[int] = []
    arms = [arm_of(functools.partial(ran.append, i)) for i in range(3)]
    found = interleaved(arms, 8, 0, seed=5)
    assert ran == schedule(3, 8, 5).ravel().tolist()
    assert found.inner == (1, 1, 1)
    assert [len(samples) for samples in found.samples] == [8, 8, 8]


def test_arms_that_are_nearly_as_fast_get_equal_numbers_of_calls() -> None:
    assert equal_inner([(30, 1e-7), (28, 1.1e-7)]) == [30, 30]
    assert equal_inner([(1, 1e-3), (30, 1e-7)]) == [1, 30]
    assert equal_inner([(1, math.inf), (1, math.inf)]) == [1, 1]
    found = interleaved(arms_of(["pass", "pass", "1 + 1"]), 5, 3, 0)
    assert len(set(found.inner)) == 1


@pytest.mark.parametrize(("policy", "within"), [("off", False), ("on", True), ("collect", False)])
def test_the_collector(policy: str, within: bool) -> None:
    seen: list[bool] = []
    compare(lambda: seen.append(gc.isenabled()), little, runs=4, warmup=0, collector=policy)
    assert seen == [within] * 4
    assert gc.isenabled()


# ---------------------------------------------------------------- functions and code, here


def test_a_real_difference_is_found() -> None:
    found = compare(little, much, runs=40)
    assert found.names == ("little", "much")
    assert found.verdict.startswith("much: slower by ")
    assert found.verdicts[0].ratio.value < 0.5
    assert found.medians[0].value < found.medians[1].value
    assert found.spreads == ()
    assert len(found.stats[1].samples) == 40
    assert found.stats[1].p95 >= found.stats[1].p50


def test_models_arguments_and_names() -> None:
    found = compare(MLP((4, 3)), MLP((4, 3)).forward, runs=5)
    assert found.names == ("MLP", "MLP (2)")
    found = compare(sorted, list, args=([3, 1],), names=["one", "other"], runs=5)
    assert found.names == ("one", "other")
    assert found.verdicts[0].versus == "one"


def test_a_single_run_shows_nothing() -> None:
    calls: list[int] = []
    found = compare(lambda: calls.append(1), much, runs=1, warmup=0)
    assert calls == [1]
    assert found.verdicts[0].word == "no difference shown"
    assert any("one run shows no difference" in note for note in found.notes)


def test_code_runs_after_its_setup_with_names_at_hand() -> None:
    found = compare("np.sum(x)", "tt.ones(2)", "sum(x)", setup="x = list(range(2000))", runs=20)
    assert found.names == ("np.sum(x)", "tt.ones(2)", "sum(x)")
    assert len(found.verdicts) == 2


@pytest.mark.parametrize(
    ("code", "setup", "turns", "expected"),
    [
        ("x += 1", "x = 0", 5, 5),
        ("x.append(1)", "x = []", 3, [1, 1, 1]),
        ("for i in range(3):\n    x += i", "x = 0", 2, 6),
        ("y = x\ny += 1", "x = 4", 2, 4),
        ("x = [x for x in range(2)]", "x = 0", 1, [0, 1]),
        ("if x < 5:\n    x = 5", "x = 0", 2, 5),
        ("", "x = 1", 2, 1),
        ("import math\nx = math.floor(2.5)", "x = 0", 1, 2),
        ("with np.errstate(all='ignore'): x = x + 1", "x = 0", 3, 3),
    ],
)
def test_code_means_what_it_means_by_itself(code: str, setup: str, turns: int, expected: object) -> None:
    namespace: dict[str, Any] = {"np": np}
    exec(setup, namespace)
    for _ in range(turns):
        exec(code, namespace)
    assert namespace["x"] == expected
    seen: list[object] = []
    arms_module.np.seen = seen  # type: ignore[attr-defined]
    try:
        loop = code_loop(f"{code}\nnp.seen.append(x)", setup)
        assert loop(repeat(None, turns)) > 0
    finally:
        del arms_module.np.seen  # type: ignore[attr-defined]
    assert len(seen) == turns
    assert seen[-1] == expected


def test_each_piece_of_code_has_its_own_names() -> None:
    first, second = code_loop("x += 1; assert x < 9", "x = 0"), code_loop("x += 1; assert x < 9", "x = 0")
    first(repeat(None, 8))
    second(repeat(None, 8))


def test_each_loop_has_code_of_its_own() -> None:
    loops = [call_loop(little).func, call_loop(little).func]  # type: ignore[attr-defined]
    assert loops[0].__code__ is not loops[1].__code__


def test_code_in_a_line() -> None:
    assert short("a = 1\n\n  b = 2\n") == "a = 1; b = 2"
    assert len(short("x" * 100)) == 40


# ---------------------------------------------------------------- fresh processes


def test_functions_and_code_in_fresh_processes() -> None:
    found = compare(little, much, Holder.inside, "sum(range(3000))", processes=2, runs=11, warmup=2, seed=4)
    assert [len(process.samples[0]) for process in found.processes] == [6, 5]
    assert len(found.stats[0].samples) == 11
    assert found.medians[1].value > found.medians[0].value
    assert len(found.spreads) == 4
    assert {s.pairs for s in found.spreads} == {2}
    text = " ".join(repr(found).split())
    assert "11 rounds in 2 fresh processes" in text
    assert "2 processes make wide intervals" in text
    assert "a fresh run's median fell inside another's interval in" in text


def test_an_error_in_a_fresh_process_is_told() -> None:
    with pytest.raises(ProfilingError, match=r"fresh process.*LookupError: mine"):
        compare(little, failing, processes=2, runs=4)
    with pytest.raises(ProfilingError, match="ended with code 7"):
        compare(little, leaving, processes=2, runs=4)


def test_each_process_has_an_order_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "order"
    code = [f"_ = file.write('{i}'); file.flush()" for i in range(2)]
    compare(*code, setup=f"file = open({str(file)!r}, 'a')", processes=2, runs=40, warmup=0, seed=3)
    expected = [schedule(2, 20, seed).ravel().tolist() for seed in (3, 4)]
    assert file.read_text() == "".join(str(i) for order in expected for i in order)
    assert expected[0] != expected[1]


def test_what_arms_write_does_not_disturb() -> None:
    found = compare("print('{')", "import sys; sys.stderr.write('}')", processes=2, runs=4)
    assert len(found.processes) == 2


@pytest.mark.parametrize(
    "function",
    [lambda: 1, functools.partial(little), Holder().method, MLP((4, 3)), MLP((4, 3)).forward, len.__call__],
    ids=["lambda", "partial", "method", "model", "forward", "wrapper"],
)
def test_what_no_fresh_process_finds(function: Callable[[], object]) -> None:
    with pytest.raises(ProfilingError, match="fresh process finds it"):
        compare(little, function, processes=2)


def test_references() -> None:
    for function in (little, Holder.inside, sorted):
        assert resolved(json.loads(json.dumps(reference(function)))) is function
    assert resolved(reference("x = 1")) == "x = 1"


def script(tmp_path: Path, text: str, *, typed: bool = False) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "script.py"
    file.write_text(text)
    return subprocess.run(
        [sys.executable, *(["-c", text] if typed else [str(file)])],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=None,
        check=False,
    )


SCRIPT = """
from tinytorch.profiling.timing.compare import compare
def f(): return sum(range(10))
def g(): return sum(range(3000))
def main(): print(compare(f, g, processes=2, runs=6).medians[1].value > 0)
"""


def test_functions_of_a_script(tmp_path: Path) -> None:
    done = script(tmp_path, SCRIPT + "if __name__ == '__main__': main()")
    assert done.stdout == "True\n", done.stderr
    done = script(tmp_path, SCRIPT + "main()")
    assert "__name__" in done.stderr
    assert done.returncode == 1
    done = script(tmp_path, SCRIPT + "main()", typed=True)
    assert "was typed in" in done.stderr


def test_functions_of_the_main_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mine() -> int:
        return 3

    mine.__qualname__, mine.__module__ = "mine", "__main__"
    main = types.ModuleType("__main__")
    main.mine = mine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(ProfilingError, match="was typed in"):
        reference(mine)
    main.__file__ = str(tmp_path / "mine.py")
    assert reference(mine) == {"file": main.__file__, "name": "mine"}
    main.__spec__ = importlib.machinery.ModuleSpec("package.tool", None)
    assert reference(mine) == {"module": "package.tool", "name": "mine"}


def test_a_script_is_loaded_once_and_not_as_main(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("loads = []\nloads.append(__name__)\ndef mine(): return loads\ndef other(): return loads")
    try:
        found = [resolved({"file": str(file), "name": name}) for name in ("mine", "other")]
        assert [one() for one in found] == [[MAIN], [MAIN]]  # type: ignore[operator]
    finally:
        del sys.modules[MAIN]


def test_a_fresh_process_starts_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYTORCH_FRESH_PROCESS", "1")
    with pytest.raises(ProfilingError, match="__main__"):
        compare(little, much, processes=2)


def test_what_a_fresh_process_answers() -> None:
    task = {
        "arms": [reference(little), reference("1 / 0")],
        "setup": "",
        "warmup": 1,
        "collector": "off",
        "threads": 1,
        "runs": 3,
        "seed": 0,
    }
    assert "ZeroDivisionError" in measured(task)["error"]
    found = measured(task | {"arms": [reference(little), reference("pass")]})
    assert [len(samples) for samples in found["samples"]] == [3, 3]


def test_a_fresh_process_computes_with_as_many_threads_as_this_one() -> None:
    before = get_num_threads()
    wanted = before + 1
    code = f"assert tinytorch.get_num_threads() == {wanted}"
    set_num_threads(wanted)
    try:
        found = compare(code, "pass", setup="import tinytorch", processes=2, runs=10)
    finally:
        set_num_threads(before)
    assert len(found.stats) == 2


# ---------------------------------------------------------------- as a person reads it


def test_a_person_can_read_it() -> None:
    found = compare(little, much, "sum(range(10))", names=["first", "second", "third"], runs=30)
    lines = repr(found).splitlines()
    assert lines[0].startswith("second beside first: slower by ")
    assert lines[1].startswith("third beside first: ")
    assert max(map(len, lines)) <= COLUMNS
    text = " ".join(repr(found).split())
    assert "30 rounds, arms in random order (seed 0)" in text
    assert "(Holm)" in text
    assert found.stats[0].environment.processor in text


def test_small_differences_in_one_process_may_be_layout() -> None:
    def notes(*times: float, processes: int = 1) -> str:
        found = [readings(*(noisy(t, 60, 7 * i + j) for j, t in enumerate(times))) for i in range(processes)]
        arms = arms_of(["pass"] * len(times))
        return " ".join(put_together(arms, tuple(found), 3, 0, "off").notes)

    assert "memory" in notes(1.0, 1.04)
    assert "memory" not in notes(1.0, 1.5)
    assert "memory" not in notes(1.0, 1.0)
    assert "memory" not in notes(1.0, 1.04, processes=5)


def test_figures_go_through_json() -> None:
    found = compare("pass", "sum(range(50))", runs=10)
    read = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert [arm["name"] for arm in read["arms"]] == ["pass", "sum(range(50))"]
    assert read["verdicts"][0]["text"] == str(found.verdicts[0])
    assert [len(samples) for samples in read["samples"][0]] == [10, 10]
    assert read["seed"] == 0


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arms", "settings", "word"),
    [
        ([], {}, "two or more"),
        ([little], {}, "two or more"),
        ([little, 3], {}, "cannot be called"),
        ([little, much], {"runs": 0}, "runs=0"),
        ([little, much], {"warmup": -1}, "warmup=-1"),
        ([little, much], {"processes": 0}, "processes=0"),
        ([little, much], {"seed": -1}, "seed=-1"),
        ([little, much], {"processes": 5, "runs": 4}, "runs=4 over processes=5"),
        ([little, much], {"processes": 2, "args": (1,)}, "put them into code"),
        ([little, much], {"args": (1,)}, "too many"),
        ([little, much], {"names": ["a"]}, "for 2 arms"),
        ([little, much], {"names": ["a", "a"]}, "all different"),
        ([little, much], {"names": "ab"}, "for 2 arms"),
        ([little, much], {"collector": "never"}, "collector='never'"),
        ([little, "1 +"], {}, "SyntaxError"),
        ([little, "return 1"], {}, "'return' outside function"),
        ([little, "x"], {"setup": "y = 1"}, "NameError"),
        ([little, "pass"], {"setup": "x = "}, "setup 'x =': SyntaxError"),
    ],
)
def test_what_it_refuses(arms: list[Any], settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ProfilingError, match=word):
        compare(*arms, **settings)
    assert gc.isenabled()


def test_an_error_of_a_function_passes_through() -> None:
    with pytest.raises(LookupError, match="mine"):
        compare(little, failing)
    assert gc.isenabled()


def test_one_arm_alone_has_no_verdict() -> None:
    found = compared(["pass"], runs=5)
    assert found.verdicts == ()
    assert repr(found).startswith("arm ")
    assert found.verdict == ""


def test_two_at_the_same_time_are_told_that_they_were() -> None:
    both = threading.Barrier(2, timeout=30)
    found: list[Comparison] = []

    def measure() -> None:
        found.append(compare(lambda: both.wait() and None, little, runs=3, warmup=0))

    threads = [threading.Thread(target=measure) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(any("at the same time" in note for note in one.notes) for one in found)


@given(st.integers(1, 500), st.integers(1, 20))
def test_runs_are_shared_evenly(runs: int, processes: int) -> None:
    if runs >= processes:
        shares = shared(runs, processes)
        assert sum(shares) == runs
        assert max(shares) - min(shares) <= 1
        assert len(shares) == processes


def test_names_that_are_the_same_get_numbers() -> None:
    assert named(["f", "f", "f"], None) == ["f", "f (2)", "f (3)"]
    assert named(["f", "f"], ("x", "y")) == ["x", "y"]
